"""A folder that is made under another name and appears when it is complete."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.errors import DataError
from engine.machine.disk import is_full
from engine.rundir.lock import held
from engine.text import size_in_words


@contextlib.contextmanager
def staged(
    folder: Path, put_in_place: Callable[[Path, Path], object] = Path.rename
) -> Iterator[Path]:
    """Yield an empty folder next to ``folder``, which takes its place when the block ends well.

    ``put_in_place`` is given the folder made and the place; it may find something there.

    After an error or an interrupt it is removed; what a killed process left is removed by the
    next one. Only one process makes the same folder at a time: the lock is on the folder made.

    Raises:
        DataError: when another process is at it, or the disk is full or cannot be written.
    """
    stage = folder.with_name(f".{folder.name}.tmp")
    try:
        with _locked(stage) as is_ours:
            if not is_ours:
                raise DataError(
                    f"Another process is just adding {folder.name} ({stage}): wait for it."
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
    """Make and lock a folder; yield whether the lock is ours. The kernel frees a dead one's."""
    stage.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            descriptor = stack.enter_context(held(stage, patience_s=0))
            # Its last owner may have renamed or removed it meanwhile.
            is_ours = os.path.samestat(os.fstat(descriptor), stage.stat())
        except (BlockingIOError, FileNotFoundError):
            is_ours = False
        yield is_ours


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _cannot_write(folder: Path, error: OSError) -> DataError:
    if is_full(error):
        free = shutil.disk_usage(folder.parent).free
        return DataError(
            f"The disk of {folder.parent} is full ({size_in_words(free)} free): nothing of "
            f"{folder.name} was kept. Free some space, or choose another place with --home or "
            "VLD_HOME."
        )
    return DataError(f"{folder} cannot be written: {error}.")
