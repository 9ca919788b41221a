"""The limit of memory that this process runs under: of a cluster's job, container or service."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

_OF_THIS_PROCESS: Final = Path("/proc/self/cgroup")
_ROOT: Final = Path("/sys/fs/cgroup")


def killed_for_memory(of: Path = _OF_THIS_PROCESS, root: Path = _ROOT) -> int | None:
    """Return how many processes the kernel has killed for the limit; None: it cannot be told.

    Read from the control groups, version 2 and 1 (Linux).
    """
    with contextlib.suppress(OSError, ValueError, KeyError):
        for line in of.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                return _count(root / path.lstrip("/") / "memory.events")
            if "memory" in controllers.split(","):
                return _count(root / "memory" / path.lstrip("/") / "memory.oom_control")
    return None


def _count(file: Path) -> int:
    pairs = dict(line.split(" ", 1) for line in file.read_text().splitlines())
    return int(pairs["oom_kill"])
