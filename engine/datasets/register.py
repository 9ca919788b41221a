"""Give images a name: look at how they are laid out, and write the card that remembers it."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Final

import msgspec

from engine.datasets.card import CARD_FILE, DatasetCard, TableColumns
from engine.datasets.catalog import CATALOG, describe
from engine.datasets.errors import DataError
from engine.datasets.folders import ImageSet
from engine.datasets.study_sets import STUDY_SETS
from engine.protocol.datasets import AddDataset, DatasetListing
from engine.rundir import write_atomic

SPLIT_FOLDERS: Final = ("train", "val", "test", "crossval")
"""Folders that some publications put between a domain and its classes; all of them are used."""
WHOLE_FOLDER: Final = "full"
"""Beside them, the folder that holds every image."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def add_dataset(request: AddDataset) -> DatasetListing:
    """Register images where they lie, under a name; nothing is copied.

    Raises:
        DataError: for a name that is taken or no plain word, and for images that no run can be
            made of.
    """
    folder = Path(request.root) / request.name
    _check_name(request.name, folder)
    card = _card(request)
    image_set = ImageSet(request.name, card.source(), card.classes)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        content = msgspec.json.format(msgspec.json.encode(card), indent=2)
        write_atomic(temporary / CARD_FILE, content)
        temporary.replace(folder)
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error}.") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return describe(request.name, image_set)


def _check_name(name: str, folder: Path) -> None:
    if not _NAME.fullmatch(name):
        raise DataError(
            f"{name!r} cannot be the name of a data set: use letters, digits, '.', '_' and '-'."
        )
    taken = {known.lower(): known for known in CATALOG}
    if name.lower() in taken:
        raise DataError(f"{taken[name.lower()]} is an embedded data set: choose another name.")
    if folder.exists():
        raise DataError(f"There is a data set {name} already, {folder}: choose another name.")


def _card(request: AddDataset) -> DatasetCard:
    path = Path(request.path).expanduser().absolute()
    if path.suffix.lower() == ".csv":
        columns = TableColumns(request.path_column, request.label_column, request.domain_column)
        card = DatasetCard(request.name, str(path), request.domains, table=columns)
    elif path.is_dir():
        excluded = _excluded(request.exclude)
        card = DatasetCard(request.name, str(path), request.domains, excluded=excluded)
        card = msgspec.structs.replace(card, below_domain=_below_domains(card))
    else:
        raise DataError(
            f"{path} is neither a folder of domain/class/image nor a CSV table. "
            + ("Unpack it first." if path.is_file() else "There is no such folder.")
        )
    _check_domains(card)
    lacks_classes = request.name in STUDY_SETS and STUDY_SETS[request.name].lacks_classes
    if request.keep_missing_classes or lacks_classes:
        classes = tuple(sorted(set().union(*card.source().class_folders().values())))
        card = msgspec.structs.replace(card, classes=classes)
    return card


def _check_domains(card: DatasetCard) -> None:
    """Refuse domains that are asked for but not there."""
    if card.domains is None:
        return
    everything = msgspec.structs.replace(card, domains=None).source().class_folders()
    missing = [domain for domain in card.domains if domain not in everything]
    if missing:
        raise DataError(
            f"{card.root} has no domain {', '.join(missing)}; it has "
            f"{', '.join(sorted(everything))}."
        )


def _below_domains(card: DatasetCard) -> tuple[str, ...]:
    """Return the folders between domains and classes, if that is how it is laid out."""
    folders = card.source().class_folders()
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
