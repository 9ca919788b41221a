"""Delete checkpoints that are no longer needed."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, NamedTuple

from engine.rundir import CHECKPOINT_PATTERN, RunDir
from engine.rundir.life import is_alive
from vld_tui.home import Home
from vld_tui.store.database import Database
from vld_tui.store.errors import StoreError
from vld_tui.store.lookup import find_by_id
from vld_tui.store.runs import read_runs

Keep = Literal["best", "none"]
"""What to keep of a finished run: the selected step's checkpoints, or none."""

_COMBINING: Final = """
    combination IS NOT NULL AND trashed_at IS NULL AND key IN (
        SELECT key FROM runs INDEXED BY live_runs WHERE status IN ('starting', 'running')
        UNION ALL SELECT key FROM runs INDEXED BY queued_runs WHERE status = 'queued'
    )
"""


class Prunable(NamedTuple):
    """Checkpoints of a run with their bytes: deletable ones, and ones needed by combinations."""

    spare: dict[Path, int]
    needed: dict[Path, int]

    @property
    def bytes(self) -> int:
        """Return the number of bytes that can be freed."""
        return sum(self.spare.values())


def prunable(database: Database, run_dir: RunDir, keep: Keep) -> Prunable:
    """Return the checkpoints that pruning would delete, and those that are still needed.

    Raises:
        StoreError: when the database cannot be read.
    """
    sizes = ((path, size_of(path)) for path in run_dir.spare_checkpoints(keep))
    there = {path: size for path, size in sizes if size is not None}
    names = _needed_names(database, run_dir.run_id) if there else set()
    return Prunable(
        {path: size for path, size in there.items() if path.name not in names},
        {path: size for path, size in there.items() if path.name in names},
    )


def prune(database: Database, home: Home, run_id: str, keep: Keep) -> Prunable:
    """Delete checkpoints of a finished run; return the deleted ones and those still needed.

    Raises:
        StoreError: when it is not finished, or a file cannot be deleted.
    """
    with database.write() as connection:  # no run is restored or trashed in the meantime
        found = find_by_id(database, run_id)
        (status,) = connection.execute(
            "SELECT status FROM runs WHERE key = ?", [found.key]
        ).fetchone()
        run_dir = found.run_dir(home)
        if status != "finished":
            raise StoreError(f"Run {run_id} is {status}: only finished runs can be pruned.")
        process = run_dir.read_process()
        if process is not None and is_alive(run_dir, process):
            raise StoreError(
                f"Run {run_id} has finished, but its process is still ending. Try again."
            )
        found_files = prunable(database, run_dir, keep)
        for path in found_files.spare:
            _delete(path)
        return found_files


def checkpoint_files(home: Home) -> Iterator[int]:
    """Yield the sizes of all checkpoints, including those in the trash."""
    for folder in (home.runs, home.trash):
        with suppress(OSError), os.scandir(folder) as runs:
            for run in runs:
                with suppress(OSError), os.scandir(Path(run.path, "checkpoints")) as files:
                    for file in files:
                        if fnmatch.fnmatch(file.name, CHECKPOINT_PATTERN):
                            yield file.stat().st_size


def size_of(path: Path) -> int | None:
    """Return a file's size in bytes, or None if missing."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def _needed_names(database: Database, run_id: str) -> set[str]:
    """Return the checkpoints of a run that queued or running combinations need, by file name."""
    return {
        Path(parent.file).name
        for run in read_runs(database, _COMBINING)
        for parent in (run.combination.parents if run.combination else ())
        if parent.run_id == run_id and parent.file is not None
    }


def _delete(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"Cannot delete {path}: {error.strerror}.") from None
