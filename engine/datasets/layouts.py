"""How a folder of images is laid out: the card that says so."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from engine.datasets.card import DatasetCard
from engine.datasets.sources import ImageSource
from engine.datasets.study_sets import STUDY_SETS
from engine.errors import DataError
from engine.protocol.datasets import AddDataset


def complete_card(card: DatasetCard, source: ImageSource, request: AddDataset) -> DatasetCard:
    """Return a card with what its folder or table shows and the request says.

    Args:
        card: with its root, and the columns of a table.
        source: everything that lies there.
        request: domains, exclusions, classes.

    Raises:
        DataError: when domains are asked for that do not exist, or the list of excluded images
            cannot be read.
    """
    if (reading := source.reading) is not None:
        card = msgspec.structs.replace(
            card, layout=reading.layout, wrapper=reading.wrapper, below_domain=reading.splits,
            excluded=read_exclusions(request.exclude, source.location),
        )  # fmt: skip
    elif request.exclude is not None:
        raise DataError("--exclude is for folders: remove the rows from the table instead.")
    folders = source.class_folders()
    if request.domains is not None:
        _check_domains(card, folders, request.domains)
        card = msgspec.structs.replace(card, domains=request.domains)
    study_set = STUDY_SETS.get(request.name)
    if request.keep_missing_classes or (study_set is not None and study_set.lacks_classes):
        used = [folders[name] for name in folders if name in (card.domains or folders)]
        card = msgspec.structs.replace(card, classes=tuple(sorted(set().union(*used))))
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


def read_exclusions(file: str | None, root: Path) -> frozenset[str]:
    """Read paths, one a line, below a root or absolute.

    A byte-order mark, Windows line ends and separators, and a ``./`` in front mean nothing.

    Raises:
        DataError: when the list cannot be read.
    """
    if file is None:
        return frozenset()
    try:
        lines = Path(os.path.expanduser(file)).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The list {file} of excluded images cannot be read: {error}.") from None
    paths = (line.strip().replace("\\", "/") for line in lines)
    return frozenset(path.removeprefix(f"{root}/").removeprefix("./") for path in paths if path)
