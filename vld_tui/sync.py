"""Bring run folders from a home elsewhere, by rsync."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vld_tui.home import Home

_NEVER: Final = ("*.tmp", "engine.lock", "writer.lock", "synced", "ranks/", ".lock")
"""Files that mean something only where they are."""

_BROUGHT: Final = ">"
"""Before each name that rsync says it brought."""
_PARTIAL: Final = 23
"""rsync's exit code when some could not be brought, or there is no such folder."""
_VANISHED: Final = 24
"""rsync's exit code when files were gone before it came to them, as those of live runs may be."""


class SyncError(Exception):
    """Runs that cannot be brought here; the message says why and what to do."""


@dataclass(frozen=True)
class Fetched:
    """The runs that changed, by id, how many studies did, and why it broke off, if it did."""

    run_ids: tuple[str, ...]
    studies: int = 0
    problem: str | None = None


def fetch_runs(home: Home, source: str, *, checkpoints: bool = False) -> Fetched:
    """Bring what is new or has changed; a file that was changed here since is kept.

    Runs that are this home's own are left as they are, and those in its trash stay there.

    Args:
        home: where to.
        source: ``[USER@]HOST:HOME``, or a folder.
        checkpoints: bring them too.

    Raises:
        SyncError: when there is no rsync, or no such home.
    """
    source = source.rstrip("/")
    if not source or source.endswith(":"):
        raise SyncError(f"{source!r} names no home: give it as USER@HOST:HOME.")
    if ":" not in source and Path(source).expanduser().resolve() == home.path.resolve():
        raise SyncError(f"{source} is this home itself.")
    left_out = [*_NEVER, *(() if checkpoints else ("checkpoints",)), *_not_brought(home)]
    run_ids: set[str] = set()

    def bring(name: str) -> None:
        run_id, in_folder, _ = name.partition("/")
        is_file = in_folder and not name.endswith("/")  # folders change when files do, here too
        if is_file and run_id not in run_ids:
            run_dir = home.run_dir(run_id)
            run_dir.path.mkdir(exist_ok=True)
            run_dir.mark_synced()  # at once: whatever comes next, it is a copy
            run_ids.add(run_id)

    problem = _rsync(f"{source}/runs/", home.runs, left_out, bring)
    if problem is not None:
        return Fetched(tuple(sorted(run_ids)), problem=problem)
    studies: list[str] = []
    with contextlib.suppress(SyncError):  # there may be none there
        _rsync(f"{source}/studies/", home.studies, left_out, studies.append)
    return Fetched(tuple(sorted(run_ids)), sum(name.endswith(".toml") for name in studies))


def _not_brought(home: Home) -> list[str]:
    """Return patterns of the runs that were made here or lie in the trash here."""
    names = [entry.name for entry in os.scandir(home.runs) if entry.is_dir()]
    own = [name for name in names if not home.run_dir(name).is_copy]
    thrown_away = os.listdir(home.trash) if home.trash.is_dir() else []
    return [f"/{name}/" for name in (*own, *thrown_away)]


def _rsync(
    source: str, target: Path, left_out: Sequence[str], on_name: Callable[[str], None]
) -> str | None:
    """Bring a folder's files, telling each name that changed; return why it broke off, if it did.

    Raises:
        SyncError: when there is no rsync, or no such folder.
    """
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as patterns:
        patterns.write("".join(f"{each}\n" for each in left_out))
        patterns.flush()
        command = [
            "rsync", "--recursive", "--times", "--update", "--compress",
            f"--out-format={_BROUGHT}%n", f"--exclude-from={patterns.name}", "--", source,
            f"{target}/",
        ]  # fmt: skip
        code, said = _run(command, on_name)
    if code in (0, _VANISHED):
        return None
    if "No such file or directory" in said and code == _PARTIAL:
        raise SyncError(f"There is no home at {source.removesuffix('/runs/')}: it has no runs/.")
    lines = [line for line in said.splitlines() if line.strip()]
    return f"rsync could not bring all of {source}: {lines[0] if lines else f'exit code {code}'}"


def _run(command: Sequence[str], on_name: Callable[[str], None]) -> tuple[int, str]:
    """Run rsync, telling each name as it comes; return its exit code and its complaints.

    Raises:
        SyncError: when there is none.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as complaints:
        try:
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=complaints, text=True,
                errors="surrogateescape", env={**os.environ, "LC_ALL": "C.UTF-8"},
            )  # fmt: skip
        except FileNotFoundError:
            raise SyncError("rsync is not found: install it, here and there.") from None
        with process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith(_BROUGHT):
                    on_name(line.removeprefix(_BROUGHT).rstrip("\n"))
        complaints.seek(0)
        return process.returncode, complaints.read()
