"""The folders of added data sets: staging, checking names, replacing, renaming and removing."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from engine.datasets.card import CARD_FILE, DatasetCard, read_card, write_card
from engine.datasets.catalog import CATALOG, mismatch_of
from engine.datasets.folders import ImageSet, open_image_set
from engine.datasets.study_sets import STUDY_SETS
from engine.errors import DataError
from engine.machine.disk import is_full
from engine.protocol.datasets import NamedSet, RemoveDataset, RenameDataset, unknown_dataset
from engine.rundir.lock import held
from engine.text import format_size

IMAGES: Final = "images"
"""Folder of imported images, next to the card; ``images-2``, … after a replacement."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_IMAGES: Final = re.compile(rf"{IMAGES}(-\d+)?")


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


def check_name(
    name: str,
    folder: Path,
    *,
    takes_over: str | None = None,
    instead: str = "Choose another name, or remove it",
) -> None:
    """Check that a data set name is valid and free.

    Args:
        name: of the data set.
        folder: its future folder.
        takes_over: data set that is replaced or renamed, whose name counts as free.
        instead: what the command can do if the name is taken, ending with removing the data set.

    Raises:
        DataError: if not, or if it differs from another name only in case.
    """
    if not _NAME.fullmatch(name):
        raise DataError(
            f"{name!r} is not a valid data set name. Use letters, digits, '.', '_' and '-'."
        )
    embedded = {known.lower(): known for known in CATALOG}
    if name.lower() in embedded:
        raise DataError(f"{embedded[name.lower()]} is an embedded data set. Choose another name.")
    published = {known.lower(): known for known in STUDY_SETS}
    if name not in STUDY_SETS and name.lower() in published:
        raise DataError(
            f"{name} differs only in case from {published[name.lower()]}, a published data set. "
            "Choose another name."
        )
    for other in names_in(folder.parent):
        if other == takes_over or other.lower() != name.lower():
            continue
        if other != name:
            raise DataError(f"{name} differs only in case from {other}. Choose another name.")
        raise DataError(
            f"A data set named {name} already exists. {instead} with: vld data rm {name}"
        )


def check_published_name(name: str, image_set: ImageSet) -> None:
    """Check that images with the name of a published data set have its domains and classes.

    Raises:
        DataError: if not; states how they differ.
    """
    mismatch = mismatch_of(name, image_set)
    if mismatch is not None:
        raise DataError(
            f"{name} is the name of a published data set, which {mismatch}. Choose another name."
        )


def names_in(root: Path) -> list[str]:
    """Return the names of the data sets in a folder."""
    if not root.is_dir():
        return []
    return sorted(
        path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")
    )


def check_replaceable(folder: Path) -> None:
    """Check that a folder was created by this program and may be replaced.

    Raises:
        DataError: if not.
    """
    if folder.is_symlink() or (folder.exists() and not (folder / CARD_FILE).exists()):
        raise DataError(
            f"{folder} was not created by vld data add (it is a link, or has no {CARD_FILE}). Move "
            "it away first."
        )


def put_in_place(stage: Path, folder: Path) -> None:
    """Move a complete stage to the data set's folder, replacing an existing data set.

    The card is replaced atomically, after the new images are in place and before the old ones are
    deleted, so that a killed process leaves either the old or the new data set.
    """
    if not folder.exists():
        stage.rename(folder)
        return
    card = read_card(stage)
    assert card is not None
    images = None
    if not Path(card.root).is_absolute():
        taken = {path.name for path in folder.iterdir()}
        numbered = (f"{IMAGES}-{number}" for number in range(2, len(taken) + 3))
        images = next(each for each in (IMAGES, *numbered) if each not in taken)
        (stage / IMAGES).rename(folder / images)
        card = msgspec.structs.replace(card, root=images + card.root.removeprefix(IMAGES))
    write_card(folder, card)
    for path in folder.iterdir():
        if _IMAGES.fullmatch(path.name) and path.name != images:
            shutil.rmtree(path)


def remove_dataset(request: RemoveDataset) -> NamedSet:
    """Delete a data set's card, and its images if they were imported.

    Raises:
        DataError: if there is no such data set, or it cannot be deleted.
    """
    folder = _find(request.root, request.name)
    found = _describe(request.name, folder)
    if request.is_trial:
        return found
    gone = folder.with_name(f".{folder.name}.removed")
    try:
        if folder.is_symlink():
            folder.unlink()
            return found
        if gone.exists():  # left by a killed process
            shutil.rmtree(gone)
        folder.rename(gone)
        shutil.rmtree(gone)
    except OSError as error:
        raise DataError(f"{folder} cannot be deleted: {error}.") from None
    return found


def rename_dataset(request: RenameDataset) -> NamedSet:
    """Rename a data set.

    Raises:
        DataError: if there is no such data set, or the new name is not free.
    """
    folder = _find(request.root, request.name)
    renamed = folder.with_name(request.new_name)
    if request.new_name == request.name:
        raise DataError(f"the data set is already named {request.name}.")
    check_name(request.new_name, renamed, takes_over=request.name)
    card = read_card(folder)
    if request.new_name in STUDY_SETS:
        check_published_name(request.new_name, open_image_set(request.new_name, folder))
    try:
        folder.rename(renamed)
        if card is not None:
            write_card(renamed, msgspec.structs.replace(card, name=request.new_name))
    except OSError as error:
        raise DataError(f"{folder} cannot be renamed: {error}.") from None
    return _describe(request.new_name, renamed)


def _find(root: str, name: str) -> Path:
    """Return the folder of an added data set.

    Raises:
        DataError: if there is no such data set.
    """
    names = names_in(Path(root))
    if name in names:
        return Path(root) / name
    if name in CATALOG:
        raise DataError(f"{name} is an embedded data set and cannot be renamed or removed.")
    if name in STUDY_SETS:
        raise DataError(f"{name} is not on this machine.")
    raise DataError(unknown_dataset(name, names))


def _describe(name: str, folder: Path) -> NamedSet:
    """Return the description of a data set's folder."""
    try:
        card: DatasetCard | None = read_card(folder)
    except DataError:  # a damaged card must not prevent removal
        card = None
    source = card.root if card is not None and Path(card.root).is_absolute() else None
    if folder.is_symlink():
        return NamedSet(name, str(folder), str(folder.resolve()), 0, 0)
    files = [path for path in folder.rglob("*") if path.is_file() and path != folder / CARD_FILE]
    size = sum(path.lstat().st_size for path in files)
    return NamedSet(name, str(folder), source, len(files), size)
