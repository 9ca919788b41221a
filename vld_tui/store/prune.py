"""Free the disk of checkpoints that nothing needs any more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from engine.rundir import RunDir
from vld_tui.home import Home
from vld_tui.launch.life import is_alive
from vld_tui.store.database import Database
from vld_tui.store.errors import StoreError
from vld_tui.store.lookup import find_by_id

Keep = Literal["best", "none"]
"""What is left of a finished run: the networks at the selected step, or no checkpoint."""

CHECKPOINT_PATTERN: Final = "*.safetensors"


def prunable(run_dir: RunDir, keep: Keep) -> dict[Path, int]:
    """Return the checkpoints that pruning would delete, with their bytes."""
    paths = [run_dir.last_checkpoint]
    if keep == "none":
        paths += [run_dir.best_checkpoint, run_dir.averaged_checkpoint]
    sizes = ((path, size_of(path)) for path in paths)
    return {path: size for path, size in sizes if size is not None}


def prune(database: Database, home: Home, run_id: str, keep: Keep) -> int:
    """Delete checkpoints of a finished run, and return how many bytes that freed.

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
        return sum(_delete(path, size) for path, size in prunable(run_dir, keep).items())


def checkpoint_files(home: Home) -> Iterator[int]:
    """Yield the bytes of every checkpoint there is, in the trash or not."""
    for folder in (home.runs, home.trash):
        for path in folder.glob(f"*/checkpoints/{CHECKPOINT_PATTERN}"):
            if (size := size_of(path)) is not None:
                yield size


def size_of(path: Path) -> int | None:
    """Return a file's bytes; None: it is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def _delete(path: Path, size: int) -> int:
    try:
        path.unlink()
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise StoreError(f"{path} cannot be deleted: {error.strerror}.") from None
    return size
