"""A plain folder of ``class/image``: images of one domain, from which others are made."""

from __future__ import annotations

from pathlib import Path

from engine.datasets.folders import counted, listed
from engine.datasets.reading import has_shared_classes, sentence
from engine.datasets.sources import FolderSource, ImageFile
from engine.errors import DataError
from engine.protocol.spec import Layout

WITHOUT_DOMAINS = ("class", "split/class")
"""Layouts of one domain."""


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
