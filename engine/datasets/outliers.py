"""A folder of unlabelled images as an image set, however its folders are arranged."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from engine.datasets.folders import ImageSet
from engine.datasets.reading import Reading
from engine.datasets.sources import ImageFile, read_image_file
from engine.datasets.tree import folder_tree
from engine.errors import DataError
from engine.protocol.datasets import LeftOut, left_out_text

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


def open_outliers(folder: str) -> ImageSet:
    """Return the images of a folder of outliers.

    Raises:
        DataError: if it is missing, cannot be read, or has no images.
    """
    location = Path(os.path.expanduser(folder))
    if not location.is_dir():
        problem = "is not a folder" if location.exists() else "does not exist"
        raise DataError(f"--outliers {location} {problem}. Give a folder of images.")
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
