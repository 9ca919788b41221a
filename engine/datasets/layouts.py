"""How a folder of images is laid out: the card that says so."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from engine.datasets.card import DatasetCard
from engine.datasets.errors import DataError
from engine.datasets.study_sets import STUDY_SETS
from engine.protocol.datasets import AddDataset

SPLIT_FOLDERS: Final = ("train", "val", "test", "crossval")
"""Folders that some publications put between a domain and its classes; all of them are used."""
WHOLE_FOLDER: Final = "full"
"""Beside them, the folder that holds every image."""


def content_root(folder: Path) -> Path:
    """Return the folder of domains in an unpacked archive: the first that is not the only one."""
    while True:
        inner = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
        if len(inner) != 1 or not inner[0].is_dir():
            return folder
        folder = inner[0]


def complete_card(card: DatasetCard, home: Path, request: AddDataset) -> DatasetCard:
    """Return a card with what its folder or table shows and the request says.

    Args:
        card: with its root, and the columns of a table.
        home: the folder of the card.
        request: domains, exclusions, classes.

    Raises:
        DataError: when domains are asked for that are not there, or the list of excluded images
            cannot be read.
    """
    if card.table is None:
        card = msgspec.structs.replace(
            card, excluded=_excluded(request.exclude), below_domain=_below_domains(card, home)
        )
    elif request.exclude is not None:
        raise DataError("--exclude is for folders: remove the rows from the table instead.")
    folders = card.source(home).class_folders()
    if request.domains is not None:
        _check_domains(card, folders, request.domains)
        card = msgspec.structs.replace(card, domains=request.domains)
    study_set = STUDY_SETS.get(request.name)
    if request.keep_missing_classes or (study_set is not None and study_set.lacks_classes):
        folders = card.source(home).class_folders()
        card = msgspec.structs.replace(card, classes=tuple(sorted(set().union(*folders.values()))))
    return card


def _check_domains(
    card: DatasetCard, folders: dict[str, set[str]], wanted: tuple[str, ...]
) -> None:
    """Refuse domains that are asked for but not there."""
    missing = [domain for domain in wanted if domain not in folders]
    if missing:
        raise DataError(
            f"{card.root} has no domain {', '.join(missing)}; it has {', '.join(sorted(folders))}."
        )


def _below_domains(card: DatasetCard, home: Path) -> tuple[str, ...]:
    """Return the folders between domains and classes, if that is how it is laid out."""
    folders = card.source(home).class_folders()
    if folders and all(WHOLE_FOLDER in names for names in folders.values()):
        return (WHOLE_FOLDER,)
    names = set().union(*folders.values()) if folders else set()
    return tuple(sorted(names)) if names and names <= set(SPLIT_FOLDERS) else ()


def _excluded(file: str | None) -> frozenset[str]:
    """Read paths, one a line, relative to the folder of domains."""
    if file is None:
        return frozenset()
    try:
        lines = Path(file).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The list {file} of excluded images cannot be read: {error}.") from None
    return frozenset(line.strip() for line in lines if line.strip())
