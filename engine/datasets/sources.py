"""Sources of image files: folders and zip archives."""

from __future__ import annotations

import lzma
import stat
import struct
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from threading import Lock
from typing import Final, Protocol

from engine.datasets.reading import Placer, Reading, detect_reading
from engine.datasets.tree import Tree, TreeFile, archive_tree, folder_tree
from engine.errors import DataError
from engine.protocol.datasets import LeftOut
from engine.protocol.spec import Layout
from engine.text import format_size

TAR_SUFFIXES: Final = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
"""Suffixes of tar archives, which are unpacked before reading."""
ABOVE_CLASSES: Final = "images above their class folder"

MOST_IMAGE_BYTES: Final = 2**30
"""Maximum size of an image file."""
ZIP_DAMAGE: Final = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, RuntimeError,
    ValueError,
)  # fmt: skip
"""Exceptions for damaged or encrypted zip archives, in addition to OSError."""


@dataclass(frozen=True)
class ImageFile:
    """One image: its path relative to the root, size, and a stamp that changes with its content.

    ``stamp`` is the modification time of a file in ns, or the CRC-32 of an archive's member. Images
    of one ``group`` are trained on or held out together; empty: no group. ``is_relabelled``: the
    class is from an exclude list.
    """

    domain: str
    class_name: str
    path: str
    size: int
    stamp: int
    group: str = ""
    is_relabelled: bool = False


class ImageSource(Protocol):
    """Source of image files: a folder, an archive or a table."""

    @property
    def location(self) -> Path:
        """Return the folder or the archive."""

    @property
    def problems(self) -> tuple[str, ...]:
        """Return what keeps runs from using the images; empty, except for a check."""

    def class_folders(self) -> dict[str, set[str]]:
        """Return each domain's class folders, including empty ones."""

    @property
    def reading(self) -> Reading | None:
        """Return the folder layout; None for a table."""

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Return what was ignored."""

    def files(self) -> list[ImageFile]:
        """Return the image files in order."""

    def names(self, path: str) -> tuple[str, ...]:
        """Return the ways to write an image's path in an exclude list."""

    def read(self, path: str) -> bytes:
        """Return the content of a file; thread-safe.

        Raises:
            OSError: if it cannot be read.
        """


class TreeSource(ABC):
    """Images in a tree of folders, listed on first use.

    Args:
        location: folder or archive.
        layout: folder layout; ``auto`` detects it.
        domains: domains to use; None: all.
    """

    def __init__(
        self,
        location: Path,
        layout: Layout | Reading = "auto",
        domains: Collection[str] | None = None,
    ) -> None:
        self._location = location
        self._layout = layout
        self._domains = domains

    @property
    def location(self) -> Path:
        """Return the folder or the archive."""
        return self._location

    @property
    def problems(self) -> tuple[str, ...]:
        """Return nothing: the names of folders say all there is."""
        return ()

    @property
    def reading(self) -> Reading:
        """Return the folder layout."""
        return self._placed.reading

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Return what was ignored."""
        return self._placed.left_out

    def class_folders(self) -> dict[str, set[str]]:
        """Return each domain's class folders, including empty ones."""
        return {domain: set(names) for domain, names in self._placed.class_folders.items()}

    def files(self) -> list[ImageFile]:
        """Return the image files by domain and class, then in the order of ``ImageFolder``."""
        return list(self._placed.files)

    def names(self, path: str) -> tuple[str, ...]:
        """Return a path relative to ``location`` and to the folder of domains, and in full."""
        around = "".join(f"{name}/" for name in self.reading.wrapper)
        return (path, path.removeprefix(around), f"{self._location}/{path}")

    @abstractmethod
    def read(self, path: str) -> bytes:
        """Return the content of a file."""

    @abstractmethod
    def _tree(self) -> Tree:
        """Return the tree of files."""

    @cached_property
    def _placed(self) -> _Placed:
        tree = self._tree()
        reading = self._layout
        if not isinstance(reading, Reading):
            reading = detect_reading(Counter(file.folder for file in tree.files), reading)
        place = cache(reading.placer(tree.folders))
        files: list[ImageFile] = []
        for file in sorted(tree.files, key=_walk_order):
            if (cell := place(file.folder)) is None:
                tree.omissions.add(_misplaced(file, reading), file.path)
            elif self._domains is None or cell[0] in self._domains:
                files.append(ImageFile(*cell, file.path, file.size, file.stamp))
        folders = _class_folders(tree, reading, place)
        if self._domains is not None:
            folders = {name: folders[name] for name in folders if name in self._domains}
        files.sort(key=lambda file: (file.domain, file.class_name))
        return _Placed(reading, tuple(files), folders, tree.omissions.all())


@dataclass(frozen=True)
class _Placed:
    """The files of a tree with their domains and classes."""

    reading: Reading
    files: tuple[ImageFile, ...]
    class_folders: dict[str, set[str]]
    left_out: tuple[LeftOut, ...]


def _misplaced(file: TreeFile, reading: Reading) -> str:
    """Return the kind of an image without a class."""
    levels = len(reading.wrapper) + reading.levels
    if len(file.folder) >= levels:
        return f"images next to {' and '.join(reading.splits)}"
    return ABOVE_CLASSES


def _class_folders(tree: Tree, reading: Reading, place: Placer) -> dict[str, set[str]]:
    """Return each domain's classes: every folder at their level, including empty ones."""
    folders: dict[str, set[str]] = defaultdict(set)
    for folder in tree.folders:
        if (cell := place(folder)) is not None:
            folders[cell[0]].add(cell[1])
    if reading.layout == "plain":  # include domains without classes, which are reported
        depth = len(reading.wrapper) + 1
        for folder in tree.folders:
            if len(folder) == depth and folder[:-1] == reading.wrapper:
                folders.setdefault(folder[-1], set())
    return dict(folders)


class FolderSource(TreeSource):
    """Images in folders within ``location``."""

    def read(self, path: str) -> bytes:
        """Return the content of a file."""
        return read_image_file(self._location / path)

    def _tree(self) -> Tree:
        return folder_tree(self._location)


class ZipSource(TreeSource):
    """Images in a zip archive, opened when first read."""

    def __init__(self, location: Path, layout: Layout | Reading = "auto") -> None:
        super().__init__(location, layout)
        self._archive: zipfile.ZipFile | None = None
        self._lock = Lock()

    def read(self, path: str) -> bytes:
        """Return the content of a member."""
        archive = self._open()
        with self._lock:
            try:
                _check_size(archive.getinfo(path).file_size)
                return archive.read(path)
            except ZIP_DAMAGE as error:
                raise OSError(str(error) or type(error).__name__) from None

    def _tree(self) -> Tree:
        return archive_tree(self._open())

    def _open(self) -> zipfile.ZipFile:
        with self._lock:
            if self._archive is None:
                try:
                    self._archive = zipfile.ZipFile(self._location)
                except (OSError, *ZIP_DAMAGE) as error:
                    raise DataError(f"{self._location} cannot be opened: {error}.") from None
            return self._archive


def read_image_file(path: Path) -> bytes:
    """Return a file's content.

    Raises:
        OSError: if it cannot be read, or is not a regular file.
    """
    try:
        found = path.stat()
    except ValueError as error:  # a NUL in its name
        raise OSError(str(error)) from None
    if not stat.S_ISREG(found.st_mode):
        raise OSError("not a regular file")
    _check_size(found.st_size)
    return path.read_bytes()


def _check_size(size: int) -> None:
    if size > MOST_IMAGE_BYTES:
        raise OSError(f"too large for an image ({format_size(size)})")


def _walk_order(file: TreeFile) -> tuple[str, str]:
    """Return the sort key of torchvision's ``make_dataset``: folder path, then file name."""
    return "/".join(file.folder), file.name
