"""Layouts of data sets: completion of cards, and folders of ``class/image``."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from engine.datasets.card import DatasetCard
from engine.datasets.reading import describe_reading, has_shared_classes
from engine.datasets.sources import FolderSource, ImageFile, ImageSource
from engine.datasets.study_sets import STUDY_SETS
from engine.errors import DataError
from engine.protocol.datasets import AddDataset
from engine.protocol.spec import Layout
from engine.text import counted, listed

WITHOUT_DOMAINS = ("class", "split/class")
"""Layouts with a single domain."""


def complete_card(card: DatasetCard, source: ImageSource, request: AddDataset) -> DatasetCard:
    """Return a card completed from its folder or table and the request.

    Args:
        card: has its root, and the columns of a table.
        source: all images there.
        request: domains, exclusions, classes.

    Raises:
        DataError: if requested domains do not exist or the list of exclusions cannot be read.
    """
    if (reading := source.reading) is not None:
        card = msgspec.structs.replace(
            card, layout=reading.layout, wrapper=reading.wrapper, below_domain=reading.splits,
            excluded=read_exclusions(request.exclude, source.location),
        )  # fmt: skip
    elif request.exclude is not None:
        raise DataError("--exclude is only for folders. Remove the rows from the table instead.")
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
    """Raise DataError if requested domains do not exist."""
    missing = [domain for domain in wanted if domain not in folders]
    if missing:
        raise DataError(
            f"{card.root} has no domain {', '.join(missing)}. Its domains: "
            f"{', '.join(sorted(folders))}."
        )


def read_exclusions(file: str | None, root: Path) -> frozenset[str]:
    """Read paths, one per line, relative to a root or absolute.

    A byte-order mark, Windows line ends and separators, and a leading ``./`` are ignored.

    Raises:
        DataError: if the list cannot be read.
    """
    if file is None:
        return frozenset()
    try:
        lines = Path(os.path.expanduser(file)).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The --exclude file {file} cannot be read: {error}.") from None
    paths = (line.strip().replace("\\", "/") for line in lines)
    return frozenset(path.removeprefix(f"{root}/").removeprefix("./") for path in paths if path)


def find_class_images(folder: Path, layout: Layout = "auto") -> list[ImageFile]:
    """Return the images of a folder of one domain, with paths relative to it.

    Args:
        folder: laid out as ``class/image`` or ``split/class/image``.
        layout: folder layout; ``auto`` detects it.

    Raises:
        DataError: if the folder is missing, has fewer than two classes, a class without images, or
            already has domains.
    """
    if folder.is_file():
        raise DataError(f"{folder} is a file. Give an unpacked folder of class/image.")
    if not folder.is_dir():
        raise DataError(f"no folder {folder}. Give a folder of class/image.")
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
        layout_text = describe_reading(source.reading, folders, set().union(*folders.values()))
        raise DataError(
            f"{folder} already has domains "
            f"({source.reading.layout.replace('plain', 'domain/class')}/image). Give one of them, "
            f"such as {folder.joinpath(*source.reading.wrapper, files[0].domain)}, or --layout "
            f"class.{layout_text and f' Detected layout: {layout_text}'}"
        )
    classes = set().union(*folders.values()) if folders else set()
    if len(classes) < 2 or not files:
        raise DataError(
            f"{folder} has {counted(len(classes), 'class folder')} and "
            f"{counted(len(files), 'image')}, but needs class/image with at least two classes."
        )
    if empty := sorted(classes - {file.class_name for file in files}):
        raise DataError(f"{folder} has classes without images: {listed(empty)}.")
    return files


def _has_sub_classes(source: FolderSource) -> bool:
    """Return whether the detected domains are more likely classes with subfolders."""
    cells = {(file.domain, file.class_name) for file in source.files()}
    is_plain = source.reading.layout == "plain"
    return is_plain and len(cells) > 0 and not has_shared_classes(cells)
