"""The checkpoints of runs, and deleting those that are no longer needed."""

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
from vld_tui.runs.metrics import CheckpointInfo
from vld_tui.store.columns import TEXT, WHOLE, RowKinds
from vld_tui.store.database import Database
from vld_tui.store.errors import StoreError
from vld_tui.store.lookup import find_by_id
from vld_tui.store.rows import read_runs

Keep = Literal["best", "none"]
"""What to keep of a finished run: the selected step's checkpoints, or none."""

_CHECKPOINT: Final = RowKinds({"kind": TEXT, "step": WHOLE, "file": TEXT, "bytes": WHOLE})
"""Types of the values of a checkpoint; rows with other types are skipped."""
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


class Checkpoints:
    """The checkpoints of the runs of an open history."""

    def __init__(self, database: Database, home: Home) -> None:
        self._database, self._home = database, home

    def saved(self, run_id: str) -> list[CheckpointInfo]:
        """Return the run's checkpoints as they were last saved, ``best`` before ``last``."""
        rows = self._database.rows(
            "SELECT kind, step, file, bytes FROM checkpoints WHERE run = ? ORDER BY kind",
            [find_by_id(self._database, run_id).key],
        )
        return [CheckpointInfo(*row) for row in rows if _CHECKPOINT.misfit(row) is None]

    def left(self, run_id: str) -> list[CheckpointInfo]:
        """Return the run's checkpoints that are still in its folder."""
        folder = find_by_id(self._database, run_id).run_dir(self._home).path
        return [each for each in self.saved(run_id) if (folder / each.file).is_file()]

    def prunable(self, run_id: str, keep: Keep) -> Prunable:
        """Return the checkpoints that pruning would delete, and those that are still needed."""
        return self._prunable(find_by_id(self._database, run_id).run_dir(self._home), keep)

    def prune(self, run_id: str, keep: Keep) -> Prunable:
        """Delete checkpoints of a finished run, except those that queued or running combinations
        need; return both.

        Raises:
            StoreError: when it is not finished, or a file cannot be deleted.
        """
        with self._database.write() as connection:  # no run is restored or trashed in the meantime
            found = find_by_id(self._database, run_id)
            (status,) = connection.execute(
                "SELECT status FROM runs WHERE key = ?", [found.key]
            ).fetchone()
            run_dir = found.run_dir(self._home)
            if status != "finished":
                raise StoreError(f"Run {run_id} is {status}: only finished runs can be pruned.")
            process = run_dir.read_process()
            if process is not None and is_alive(run_dir, process):
                raise StoreError(
                    f"Run {run_id} has finished, but its process is still ending. Try again."
                )
            found_files = self._prunable(run_dir, keep)
            for path in found_files.spare:
                _delete(path)
            return found_files

    def _prunable(self, run_dir: RunDir, keep: Keep) -> Prunable:
        sizes = ((path, size_of(path)) for path in run_dir.spare_checkpoints(keep))
        there = {path: size for path, size in sizes if size is not None}
        names = self._needed_names(run_dir.run_id) if there else set()
        return Prunable(
            {path: size for path, size in there.items() if path.name not in names},
            {path: size for path, size in there.items() if path.name in names},
        )

    def _needed_names(self, run_id: str) -> set[str]:
        """Return the checkpoints of a run that queued or running combinations need, by file
        name."""
        return {
            Path(parent.file).name
            for run in read_runs(self._database, _COMBINING)
            for parent in (run.combination.parents if run.combination else ())
            if parent.run_id == run_id and parent.file is not None
        }


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


def _delete(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"Cannot delete {path}: {error.strerror}.") from None
