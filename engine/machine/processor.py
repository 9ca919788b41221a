"""The processor this process computes on, and the memory it has taken; no torch needed."""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from pathlib import Path
from typing import Any, Final

import psutil

NEEDED_SHARE: Final = 0.85
"""Of the cores that threads would use, they must have had this share to be undisturbed."""
TICK_S: Final = 0.01
"""How exactly the system counts processor time, about."""


def cpu_name() -> str:
    """Return the processor's model name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def usable_cores() -> int:
    """Return the number of processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_memory_bytes() -> int:
    """Return the largest resident size of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class OtherPrograms:
    """The processor time that other programs take on the cores of this one, from now on."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._busy_s, self._own_s = _busy_s(), _own_s()

    def disturbed(self, threads: int) -> bool:
        """Say whether they left too few of the cores for so many threads of this process."""
        elapsed_s = time.perf_counter() - self._began
        if self._busy_s is None or elapsed_s < 10 * TICK_S:
            return False
        others_s = (_busy_s() or 0.0) - self._busy_s - (_own_s() - self._own_s)
        free = usable_cores() - others_s / elapsed_s
        return free < NEEDED_SHARE * min(threads, usable_cores())


def _busy_s() -> float | None:
    """Return for how long the usable cores have computed; None: the system does not tell."""
    try:
        cores = psutil.cpu_times(percpu=True)
        usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(cores))
        return sum(sum(_work(cores[core])) for core in usable)
    except (OSError, psutil.Error, IndexError):
        return None


def _work(core: Any) -> list[float]:
    """Return the parts of a core's time in which it computed; guests are counted in others."""
    idle = ("idle", "iowait", "guest", "guest_nice")
    return [seconds for part, seconds in core._asdict().items() if part not in idle]


def _own_s() -> float:
    return time.process_time()
