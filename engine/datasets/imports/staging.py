"""Creation of a folder under a temporary name, renamed when it is complete."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.errors import DataError
from engine.machine.disk import is_full
from engine.rundir.lock import held
from engine.text import format_size


@contextlib.contextmanager
def staged(
    folder: Path, put_in_place: Callable[[Path, Path], object] = Path.rename
) -> Iterator[Path]:
    """Yield an empty folder next to ``folder`` that replaces it if the block succeeds.

    ``put_in_place`` is called with the new folder and the target, which may exist.

    After an error or an interrupt the new folder is removed; a folder left by a killed process is
    removed by the next one. A lock ensures that only one process at a time creates the folder.

    Raises:
        DataError: if another process holds the lock, or the disk is full or cannot be written.
    """
    stage = folder.with_name(f".{folder.name}.tmp")
    try:
        with _locked(stage) as is_locked:
            if not is_locked:
                raise DataError(
                    f"Another process is adding {folder.name} ({stage}). Wait for it to finish."
                )
            try:
                _empty(stage)
                yield stage
                put_in_place(stage, folder)
            finally:
                shutil.rmtree(stage, ignore_errors=True)
    except OSError as error:
        raise _cannot_write(folder, error) from None


@contextlib.contextmanager
def _locked(stage: Path) -> Iterator[bool]:
    """Create and lock a folder; yield whether this process holds the lock."""
    stage.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            descriptor = stack.enter_context(held(stage, patience_s=0))
            # Its previous owner may have renamed or removed it meanwhile.
            is_locked = os.path.samestat(os.fstat(descriptor), stage.stat())
        except (BlockingIOError, FileNotFoundError):
            is_locked = False
        yield is_locked


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _cannot_write(folder: Path, error: OSError) -> DataError:
    if is_full(error):
        free = shutil.disk_usage(folder.parent).free
        return DataError(
            f"The disk of {folder.parent} is full ({format_size(free)} free); {folder.name} was "
            "not added. Free space, or use another --home (VLD_HOME)."
        )
    return DataError(f"{folder} cannot be written: {error}.")
