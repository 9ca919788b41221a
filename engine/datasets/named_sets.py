"""The folders of data sets that have a name: named, replaced, renamed and removed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final

import msgspec

from engine.datasets.card import CARD_FILE, DatasetCard, read_card, write_card
from engine.datasets.catalog import CATALOG, mismatch_of
from engine.datasets.folders import ImageSet, open_image_set
from engine.datasets.study_sets import STUDY_SETS
from engine.errors import DataError
from engine.protocol import nearest
from engine.protocol.datasets import NamedSet, RemoveDataset, RenameDataset

IMAGES: Final = "images"
"""Folder, next to the card, of the images that were imported; ``images-2`` once replaced."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_IMAGES: Final = re.compile(rf"{IMAGES}(-\d+)?")


def check_name(name: str, folder: Path, *, takes_over: str | None = None) -> None:
    """Refuse a name that is no plain word, or taken, or differs from another only in case.

    Args:
        name: of the data set.
        folder: it will have.
        takes_over: a data set that is replaced or renamed; its name is free.

    Raises:
        DataError: saying which and what to do.
    """
    if not _NAME.fullmatch(name):
        raise DataError(
            f"{name!r} cannot be the name of a data set: use letters, digits, '.', '_' and '-'."
        )
    embedded = {known.lower(): known for known in CATALOG}
    if name.lower() in embedded:
        raise DataError(f"{embedded[name.lower()]} is an embedded data set: choose another name.")
    published = {known.lower(): known for known in STUDY_SETS}
    if name not in STUDY_SETS and name.lower() in published:
        raise DataError(
            f"{name} differs only in case from {published[name.lower()]}, a published data set: "
            "choose another name."
        )
    for other in names_in(folder.parent):
        if other == takes_over or other.lower() != name.lower():
            continue
        if other != name:
            raise DataError(f"{name} differs only in case from {other}: choose another name.")
        raise DataError(
            f"A data set named {name} exists already. Choose another name, remove it (vld data "
            f"rm {name}), or replace it with --replace."
        )


def check_published_name(name: str, image_set: ImageSet) -> None:
    """Refuse the name of a published data set for images with other domains or classes.

    Raises:
        DataError: saying how they differ.
    """
    mismatch = mismatch_of(name, image_set)
    if mismatch is not None:
        raise DataError(
            f"{name} is the name of a published data set, which {mismatch}. Choose another name."
        )


def names_in(root: Path) -> list[str]:
    """Return the names of the data sets in a folder of them."""
    if not root.is_dir():
        return []
    return sorted(
        path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")
    )


def check_replaceable(folder: Path) -> None:
    """Refuse a folder that was not made by this program: its content would be lost.

    Raises:
        DataError: saying so.
    """
    if folder.is_symlink() or (folder.exists() and not (folder / CARD_FILE).exists()):
        raise DataError(
            f"{folder} was not made by vld data add (it is a link, or has no {CARD_FILE}): move it "
            "away first."
        )


def put_in_place(stage: Path, folder: Path) -> None:
    """Have a complete stage take the place of a data set, if there is one.

    Its card is replaced in one step, after the new images are there and before the old ones go:
    a process that is killed leaves the old data set or the new one.
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
    """Delete a data set's card, and its images where they were imported.

    Raises:
        DataError: when there is none of that name, or it cannot be deleted.
    """
    folder = _find(request.root, request.name)
    found = _look_at(request.name, folder)
    if request.is_trial:
        return found
    gone = folder.with_name(f".{folder.name}.removed")
    try:
        if folder.is_symlink():
            folder.unlink()
            return found
        if gone.exists():  # of a process that was killed
            shutil.rmtree(gone)
        folder.rename(gone)
        shutil.rmtree(gone)
    except OSError as error:
        raise DataError(f"{folder} cannot be deleted: {error}.") from None
    return found


def rename_dataset(request: RenameDataset) -> NamedSet:
    """Give a data set another name.

    Raises:
        DataError: when there is none of that name, or the new one is not free.
    """
    folder = _find(request.root, request.name)
    renamed = folder.with_name(request.new_name)
    if request.new_name == request.name:
        raise DataError(f"{request.name} already has that name.")
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
    return _look_at(request.new_name, renamed)


def _find(root: str, name: str) -> Path:
    """Return the folder of a data set that was added.

    Raises:
        DataError: when there is none of that name.
    """
    names = names_in(Path(root))
    if name in names:
        return Path(root) / name
    if name in CATALOG:
        raise DataError(f"{name} is part of the program: it cannot be renamed or removed.")
    if name in STUDY_SETS:
        raise DataError(f"{name} is not on this machine: there is nothing to do.")
    hint = nearest(name, names) or " List them with: vld data ls."
    raise DataError(f"No data set named {name!r}.{hint}")


def _look_at(name: str, folder: Path) -> NamedSet:
    """Return what a data set's folder holds."""
    try:
        card: DatasetCard | None = read_card(folder)
    except DataError:  # damaged, which must not keep it from being removed
        card = None
    source = card.root if card is not None and Path(card.root).is_absolute() else None
    if folder.is_symlink():
        return NamedSet(name, str(folder), str(folder.resolve()), 0, 0)
    files = [path for path in folder.rglob("*") if path.is_file() and path != folder / CARD_FILE]
    size = sum(path.lstat().st_size for path in files)
    return NamedSet(name, str(folder), source, len(files), size)
