"""A plain folder of ``class/image``: images of one domain, from which others are made."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from engine.datasets.errors import DataError
from engine.datasets.folders import listed
from engine.datasets.sources import FolderSource, ImageFile


def find_class_images(folder: Path) -> list[ImageFile]:
    """Return the images of a folder of ``class/image``, with paths below it.

    Raises:
        DataError: when there is no such folder, it has fewer than two classes, a class without
            images, or domains already.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}. Give a folder of class/image.")
    source = FolderSource(folder.parent, (folder.name,))
    try:
        classes = source.class_folders()[folder.name]
        found = source.files()
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error}.") from None
    files = [_below(file) for file in found]
    if len(classes) < 2 or not files:
        raise DataError(
            f"{folder} has {len(classes)} class folders and {len(files)} images; the layout is "
            "class/image, with two classes at least."
        )
    if empty := sorted(classes - {file.class_name for file in files}):
        raise DataError(f"In {folder} there are classes without images: {listed(empty)}.")
    if _has_domains(files):
        raise DataError(
            f"{folder} is laid out as domain/class/image: it has domains already. Give one of "
            f"them, such as {folder / files[0].class_name}."
        )
    return files


def _below(file: ImageFile) -> ImageFile:
    path = "/".join(PurePosixPath(file.path).parts[1:])
    return ImageFile("", file.class_name, path, file.size, file.stamp)


def _has_domains(files: list[ImageFile]) -> bool:
    """Say whether what looks like classes are domains: all hold the same folders, no images."""
    inner: dict[str, set[str]] = {}
    for file in files:
        parts = PurePosixPath(file.path).parts
        inner.setdefault(file.class_name, set()).add(parts[1] if len(parts) > 2 else "")
    names = list(inner.values())
    return len(names[0]) > 1 and "" not in names[0] and all(each == names[0] for each in names)
