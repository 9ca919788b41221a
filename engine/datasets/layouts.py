"""How a folder of images is laid out, as its card says, or as plain ``class/image``."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from engine.datasets.card import DatasetCard
from engine.datasets.folders import counted, listed
from engine.datasets.reading import has_shared_classes, sentence
from engine.datasets.sources import FolderSource, ImageFile, ImageSource
from engine.datasets.study_sets import STUDY_SETS
from engine.errors import DataError
from engine.protocol.datasets import AddDataset
from engine.protocol.spec import Layout

WITHOUT_DOMAINS = ("class", "split/class")
"""Layouts of one domain."""


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


def find_class_images(folder: Path, layout: Layout = "auto") -> list[ImageFile]:
    """Return the images of a folder of one domain, with paths below it.

    Args:
        folder: laid out as ``class/image`` or ``split/class/image``.
        layout: how it is read; ``auto`` recognizes it.

    Raises:
        DataError: when there is no such folder, it has fewer than two classes, a class without
            images, or domains already.
    """
    if folder.is_file():
        raise DataError(f"{folder} is a file. Give a folder of class/image, unpacked.")
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}. Give a folder of class/image.")
    source = FolderSource(folder, layout)
    try:
        files = source.files()
        if layout == "auto" and _has_sub_classes(source):
            source = FolderSource(folder, "class")
            files = source.files()
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error}.") from None
    folders = source.class_folders()
    if files and source.reading.layout not in WITHOUT_DOMAINS:
        said = sentence(source.reading, folders, set().union(*folders.values()))
        raise DataError(
            f"{folder} is laid out as {source.reading.layout.replace('plain', 'domain/class')}"
            f"/image: it has domains already. Give one of them, such as "
            f"{folder.joinpath(*source.reading.wrapper, files[0].domain)}, or --layout class."
            f"{said and f' It was read so: {said}'}"
        )
    classes = set().union(*folders.values()) if folders else set()
    if len(classes) < 2 or not files:
        raise DataError(
            f"{folder} has {counted(len(classes), 'class folder')} and "
            f"{counted(len(files), 'image')}; the layout is class/image, with two classes at least."
        )
    if empty := sorted(classes - {file.class_name for file in files}):
        raise DataError(f"In {folder} there are classes without images: {listed(empty)}.")
    return files


def _has_sub_classes(source: FolderSource) -> bool:
    """Say whether what was taken for domains are classes with folders of their own."""
    cells = {(file.domain, file.class_name) for file in source.files()}
    is_plain = source.reading.layout == "plain"
    return is_plain and len(cells) > 0 and not has_shared_classes(cells)
