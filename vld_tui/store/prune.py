"""Free the disk of checkpoints that nothing needs any more."""

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
"""What is left of a finished run: the networks at the selected step, or no checkpoint."""

_COMBINING: Final = """
    combination IS NOT NULL AND trashed_at IS NULL AND key IN (
        SELECT key FROM runs INDEXED BY live_runs WHERE status IN ('starting', 'running')
        UNION ALL SELECT key FROM runs INDEXED BY queued_runs WHERE status = 'queued'
    )
"""


class Prunable(NamedTuple):
    """Checkpoints of a run with their bytes: those to spare, and those about to be combined."""

    spare: dict[Path, int]
    needed: dict[Path, int]

    @property
    def bytes(self) -> int:
        """Return how many bytes there are to free."""
        return sum(self.spare.values())


def prunable(database: Database, run_dir: RunDir, keep: Keep) -> Prunable:
    """Return the checkpoints that pruning would delete, and those it would but for their use.

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
    """Delete checkpoints of a finished run, and return which went and which are still needed.

    Raises:
        StoreError: when it is not finished, or a file cannot be deleted.
    """
    with database.write() as connection:  # nothing is restored or trashed meanwhile
        found = find_by_id(database, run_id)
        (status,) = connection.execute(
            "SELECT status FROM runs WHERE key = ?", [found.key]
        ).fetchone()
        run_dir = found.run_dir(home)
        if status != "finished":
            raise StoreError(f"Run {run_id} is {status}: only finished runs are pruned.")
        process = run_dir.read_process()
        if process is not None and is_alive(run_dir, process):
            raise StoreError(f"Run {run_id} is finished, but its process is not over yet.")
        found_files = prunable(database, run_dir, keep)
        for path in found_files.spare:
            _delete(path)
        return found_files


def checkpoint_files(home: Home) -> Iterator[int]:
    """Yield the bytes of every checkpoint there is, in the trash or not."""
    for folder in (home.runs, home.trash):
        with suppress(OSError), os.scandir(folder) as runs:
            for run in runs:
                with suppress(OSError), os.scandir(Path(run.path, "checkpoints")) as files:
                    for file in files:
                        if fnmatch.fnmatch(file.name, CHECKPOINT_PATTERN):
                            yield file.stat().st_size


def size_of(path: Path) -> int | None:
    """Return a file's bytes; None: it is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def _needed_names(database: Database, run_id: str) -> set[str]:
    """Return the checkpoints of a run that one which waits or goes on combines, by file name."""
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
        raise StoreError(f"{path} cannot be deleted: {error.strerror}.") from None
