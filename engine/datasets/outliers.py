"""Unlabelled images as an image set: a folder however arranged, or an embedded data set."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Final

from engine.datasets.folders import ImageSet
from engine.datasets.reading import Reading
from engine.datasets.sources import ImageFile, ZipSource, read_image_file
from engine.datasets.tree import folder_tree
from engine.errors import DataError
from engine.protocol.datasets import LeftOut, left_out_text
from engine.protocol.embedded import EMBEDDED_ARCHIVES

OUTLIERS: Final = "outliers"
"""Name of the image set and of its only domain."""
ABSTAIN: Final = "abstain"
"""Their class."""


class UnlabelledFolder:
    """The images in a folder and its subfolders, sorted by path; all are of one class.

    Raises:
        OSError: if a folder cannot be read.
    """

    reading: Reading | None = None
    problems: tuple[str, ...] = ()

    def __init__(self, location: Path) -> None:
        self.location = location
        tree = folder_tree(location)
        self.left_out: tuple[LeftOut, ...] = tree.omissions.all()
        self._files = [
            ImageFile(OUTLIERS, ABSTAIN, each.path, each.size, each.stamp)
            for each in sorted(tree.files, key=lambda file: file.path)
        ]

    def class_folders(self) -> dict[str, set[str]]:
        """Return the only domain with the only class."""
        return {OUTLIERS: {ABSTAIN}}

    def files(self) -> list[ImageFile]:
        """Return the image files."""
        return self._files

    def names(self, path: str) -> tuple[str, ...]:
        """Return a path relative to the folder, and in full."""
        return (path, f"{self.location}/{path}")

    def read(self, path: str) -> bytes:
        """Return the content of a file."""
        return read_image_file(self.location / path)


class OtherClasses(ZipSource):
    """The images of an archive that are of none of the given classes, as images of one class."""

    def __init__(self, location: Path, classes: Collection[str]) -> None:
        super().__init__(location)
        self._known = frozenset(classes)

    def class_folders(self) -> dict[str, set[str]]:
        """Return the only domain with the only class."""
        return {OUTLIERS: {ABSTAIN}}

    def files(self) -> list[ImageFile]:
        """Return the image files of other classes."""
        return [
            replace(file, domain=OUTLIERS, class_name=ABSTAIN)
            for file in super().files()
            if file.class_name not in self._known
        ]


def open_outliers(given: str, classes: Collection[str]) -> ImageSet:
    """Return the images of a folder of outliers, or of an embedded data set.

    Args:
        given: the folder, of which all images count, or the name of an embedded data set.
        classes: of the run; images of an embedded data set that are of one of them are left out.

    Raises:
        DataError: if it is missing, cannot be read, or has no images.
    """
    if given in EMBEDDED_ARCHIVES:
        return _embedded(given, classes)
    location = Path(os.path.expanduser(given))
    if not location.is_dir():
        problem = "is not a folder" if location.exists() else "does not exist"
        raise DataError(
            f"--outliers {location} {problem}. Give a folder of images, or one of "
            f"{', '.join(EMBEDDED_ARCHIVES)}."
        )
    try:
        source = UnlabelledFolder(location)
    except OSError as error:
        raise DataError(
            f"The folder {error.filename or location} of --outliers cannot be read: "
            f"{error.strerror or error}."
        ) from None
    if not source.files():
        left_out = left_out_text(source.left_out)
        also = f" ({left_out})" if left_out else ""
        raise DataError(f"--outliers {location} has no images{also}. Give a folder of images.")
    return ImageSet(OUTLIERS, source, use="test")


def _embedded(name: str, classes: Collection[str]) -> ImageSet:
    source = OtherClasses(EMBEDDED_ARCHIVES[name], classes)
    if not source.files():
        raise DataError(
            f"--outliers {name}: all classes of this data set are classes of the run. Give a "
            "folder of images."
        )
    return ImageSet(OUTLIERS, source, use="test")
