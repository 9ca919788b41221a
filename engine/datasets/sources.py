"""Where image files come from: a folder, or a zip archive with the same layout."""

from __future__ import annotations

import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Final, Protocol

from engine.datasets.errors import DataError
from engine.sizes import size_in_words

IMAGE_EXTENSIONS: Final = (
    ".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp",
)  # fmt: skip
"""Those of ``torchvision.datasets.folder.IMG_EXTENSIONS``."""
MOST_IMAGE_BYTES: Final = 2**30
"""A larger file is no image that could be decoded."""
ZIP_DAMAGE: Final = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, RuntimeError,
    ValueError,
)  # fmt: skip
"""What the standard library raises, besides OSError, on damaged or encrypted zip archives."""


@dataclass(frozen=True)
class ImageFile:
    """One image: its place below the root, and what tells when it changes.

    ``stamp`` is the modification time in ns of a file, the CRC-32 of an archive's member.
    """

    domain: str
    class_name: str
    path: str
    size: int
    stamp: int


class ImageSource(Protocol):
    """Where image files come from: a folder or an archive."""

    @property
    def location(self) -> Path:
        """Return the folder or the archive."""

    def class_folders(self) -> dict[str, set[str]]:
        """Return each domain's class folders, the empty ones included."""

    def files(self) -> list[ImageFile]:
        """Return the image files in order."""

    def read(self, path: str) -> bytes:
        """Return the content of a file; may be called from several threads.

        Raises:
            OSError: when it cannot be read.
        """


@dataclass(frozen=True)
class FolderSource:
    """Images in folders below ``location``.

    Attributes:
        location: the folder of domains.
        domains: those that are used; None: all.
        below_domain: folders between a domain and its classes; empty: none.
        excluded: paths below ``location`` that are left out.
    """

    location: Path
    domains: tuple[str, ...] | None = None
    below_domain: tuple[str, ...] = ()
    excluded: frozenset[str] = frozenset()

    def class_folders(self) -> dict[str, set[str]]:
        """Return each domain's class folders, the empty ones included."""
        return {
            domain: {name for parent in self._parents(domain) for name in _subfolders(parent)}
            for domain in _subfolders(self.location)
            if self.domains is None or domain in self.domains
        }

    def files(self) -> list[ImageFile]:
        """Return the image files by domain and class, then as ``ImageFolder`` walks them."""
        found = (
            self._describe(domain, class_name, path)
            for domain, class_names in sorted(self.class_folders().items())
            for class_name in sorted(class_names)
            for parent in self._parents(domain)
            for path in _walk(parent / class_name)
        )
        return [file for file in found if file.path not in self.excluded]

    def _parents(self, domain: str) -> list[Path]:
        """Return the folders that hold a domain's class folders."""
        folder = self.location / domain
        inner = [folder / name for name in sorted(self.below_domain)]
        return [each for each in inner if each.is_dir()] or [folder]

    def read(self, path: str) -> bytes:
        """Return the content of a file."""
        return read_image_file(self.location / path)

    def _describe(self, domain: str, class_name: str, path: str) -> ImageFile:
        name = path.removeprefix(f"{self.location}{os.sep}")
        try:
            status = os.stat(path)
        except OSError:  # such as a dangling link: unreadable, and told when it is decoded
            return ImageFile(domain, class_name, name, size=0, stamp=0)
        return ImageFile(domain, class_name, name, status.st_size, status.st_mtime_ns)


class ZipSource:
    """Images in a zip archive, opened when first read."""

    def __init__(self, location: Path) -> None:
        self._location = location
        self._archive: zipfile.ZipFile | None = None
        self._lock = Lock()

    @property
    def location(self) -> Path:
        """Return the archive."""
        return self._location

    def class_folders(self) -> dict[str, set[str]]:
        """Return each domain's class folders."""
        folders: dict[str, set[str]] = defaultdict(set)
        for info, path in self._members():
            if len(path.parts) > 2 or (len(path.parts) == 2 and info.is_dir()):
                folders[path.parts[0]].add(path.parts[1])
        return dict(folders)

    def files(self) -> list[ImageFile]:
        """Return the image members by domain and class, then as ``ImageFolder`` walks them."""
        found = [
            ImageFile(path.parts[0], path.parts[1], info.filename, info.file_size, info.CRC)
            for info, path in self._members()
            if not info.is_dir() and len(path.parts) > 2 and _is_image(path.name)
        ]
        return sorted(found, key=_walk_order)

    def read(self, path: str) -> bytes:
        """Return the content of a member."""
        archive = self._open()
        with self._lock:
            try:
                _check_size(archive.getinfo(path).file_size)
                return archive.read(path)
            except ZIP_DAMAGE as error:
                raise OSError(str(error) or type(error).__name__) from None

    def _members(self) -> Iterator[tuple[zipfile.ZipInfo, PurePosixPath]]:
        """Yield the members and their paths, hidden domains and classes excepted."""
        for info in self._open().infolist():
            path = PurePosixPath(info.filename)
            if not any(part.startswith(".") for part in path.parts[:2]):
                yield info, path

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
        OSError: when it cannot be read, or is a pipe or a device, which may never end.
    """
    try:
        found = path.stat()
    except ValueError as error:  # a NUL in its name
        raise OSError(str(error)) from None
    if not stat.S_ISREG(found.st_mode):
        raise OSError("it is not a regular file")
    _check_size(found.st_size)
    return path.read_bytes()


def _check_size(size: int) -> None:
    if size > MOST_IMAGE_BYTES:
        raise OSError(f"it has {size_in_words(size)}, too many for an image")


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_EXTENSIONS)


def _subfolders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder, hidden ones excepted."""
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))


def _walk(folder: Path) -> Iterator[str]:
    """Yield images in ``make_dataset``'s order: each folder's own files, folders sorted by path."""
    for parent, names in sorted(_folders(folder)):
        yield from (os.path.join(parent, name) for name in sorted(names) if _is_image(name))


def _folders(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield folders and the names of their files; a link back to a folder above is not followed."""
    above: dict[str, frozenset[tuple[int, int]]] = {str(folder): frozenset()}
    for parent, inner, names in os.walk(folder, followlinks=True):
        status = os.stat(parent)
        identity = (status.st_dev, status.st_ino)
        ancestors = above.pop(parent)
        if identity in ancestors:
            inner.clear()
            continue
        above |= {os.path.join(parent, name): ancestors | {identity} for name in inner}
        yield parent, names


def _walk_order(file: ImageFile) -> tuple[str, str, str, str]:
    """Sort archive members as :func:`_walk` orders files: by folder path, then by name."""
    path = PurePosixPath(file.path)
    return file.domain, file.class_name, str(path.parent), path.name
