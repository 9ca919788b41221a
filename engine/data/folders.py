"""Images laid out as ``domain/class/image``, in a folder or in a zip archive.

Domains and classes are sorted by name, and files in the order of torchvision's ``ImageFolder``
(``torchvision.datasets.folder.make_dataset``), which the split depends on.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Final, Protocol

from PIL import Image

from engine.data.errors import DataError

IMAGE_EXTENSIONS: Final = (
    ".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp",
)  # fmt: skip
"""Those of ``torchvision.datasets.folder.IMG_EXTENSIONS``."""

DAMAGE: Final = (
    SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error, zlib.error,
    Image.DecompressionBombError,
)  # fmt: skip
"""What PIL raises, besides OSError, on damaged files."""

MAX_NAMED: Final = 10
"""Names listed in a message before the rest is counted."""


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
    """Images in folders below ``location``."""

    location: Path

    def class_folders(self) -> dict[str, set[str]]:
        """Return each domain's class folders, the empty ones included."""
        return {
            domain: set(_subfolders(self.location / domain))
            for domain in _subfolders(self.location)
        }

    def files(self) -> list[ImageFile]:
        """Return the image files by domain and class, then as ``ImageFolder`` walks them."""
        return [
            ImageFile(domain, class_name, file.relative_to(self.location).as_posix(),
                      status.st_size, status.st_mtime_ns)
            for domain, class_names in sorted(self.class_folders().items())
            for class_name in sorted(class_names)
            for file in _walk(self.location / domain / class_name)
            for status in (file.stat(),)
        ]  # fmt: skip

    def read(self, path: str) -> bytes:
        """Return the content of a file."""
        return (self.location / path).read_bytes()


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
        for info in self._open().infolist():
            parts = PurePosixPath(info.filename).parts
            if len(parts) > 2 or (len(parts) == 2 and info.is_dir()):
                folders[parts[0]].add(parts[1])
        return dict(folders)

    def files(self) -> list[ImageFile]:
        """Return the image members by domain and class, then as ``ImageFolder`` walks them."""
        found = []
        for info in self._open().infolist():
            path = PurePosixPath(info.filename)
            if not info.is_dir() and len(path.parts) > 2 and _is_image(path.name):
                domain, class_name = path.parts[:2]
                found.append(ImageFile(domain, class_name, info.filename, info.file_size, info.CRC))
        return sorted(found, key=_walk_order)

    def read(self, path: str) -> bytes:
        """Return the content of a member."""
        archive = self._open()
        with self._lock:
            try:
                return archive.read(path)
            except (zipfile.BadZipFile, zlib.error) as error:
                raise OSError(str(error)) from None

    def _open(self) -> zipfile.ZipFile:
        with self._lock:
            if self._archive is None:
                try:
                    self._archive = zipfile.ZipFile(self._location)
                except (OSError, zipfile.BadZipFile) as error:
                    raise DataError(f"{self._location} cannot be opened: {error}.") from None
            return self._archive


class ImageSet:
    """A data set: its domains, classes and image files, none of them decoded yet.

    Raises:
        DataError: when the layout cannot be trained on; the message says what is wrong.
    """

    def __init__(self, name: str, source: ImageSource) -> None:
        self.name = name
        self.source = source
        self.files = tuple(source.files())
        self.domains, self.classes = _check_layout(source, self.files)

    @property
    def location(self) -> Path:
        """Return the folder or the archive."""
        return self.source.location

    def __len__(self) -> int:
        return len(self.files)

    def read(self, index: int) -> bytes:
        """Return an image file's content.

        Raises:
            OSError: when it cannot be read.
        """
        return self.source.read(self.files[index].path)

    def open_image(self, index: int) -> Image.Image:
        """Decode an image, as RGB.

        Raises:
            OSError: when it cannot be read or decoded, a truncated one included.
        """
        return decode_image(self.read(index))


def decode_image(content: bytes) -> Image.Image:
    """Decode an image as torchvision's ``pil_loader`` does: RGB, the palette resolved.

    Raises:
        OSError: when it is not an image, is damaged, or is truncated.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.convert("RGB")
    except DAMAGE as error:
        raise OSError(f"{type(error).__name__}: {error}") from None


def open_image_set(name: str, location: Path) -> ImageSet:
    """Open a folder or a zip archive laid out as ``domain/class/image``.

    Raises:
        DataError: when there is no such folder, or it cannot be trained on.
    """
    if not location.exists():
        raise DataError(
            f"There is no folder {location}. Give --data a folder of domain/class/image."
        )
    if location.suffix == ".zip" and location.is_file():
        return ImageSet(name, ZipSource(location))
    if not location.is_dir():
        raise DataError(f"{location} is not a folder. Give --data a folder of domain/class/image.")
    try:
        return ImageSet(name, FolderSource(location))
    except OSError as error:
        raise DataError(f"{location} cannot be read: {error}.") from None


def listed(names: Iterable[str]) -> str:
    """Return names separated by commas, the first ten of them, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more


def _check_layout(
    source: ImageSource, files: tuple[ImageFile, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return domains and classes, sorted; refuse what no leave-one-domain-out run can use."""
    folders = source.class_folders()
    _check_names(source, files)
    where, layout = source.location, "The layout is domain/class/image."
    if not folders:
        raise DataError(f"{where} is empty: it has no domain folders. {layout}")
    if not files:
        raise DataError(
            f"{where} has no images ({', '.join(IMAGE_EXTENSIONS)}) two folders deep. {layout}"
        )
    if len(folders) == 1:
        raise DataError(
            f"{where} has one domain, {next(iter(folders))}. One is left out and the others are "
            f"trained on, so at least two are needed. {layout}"
        )
    classes = sorted(set().union(*folders.values()))
    lacking = [
        f"{domain} lacks {listed(missing)}"
        for domain in sorted(folders)
        if (missing := [name for name in classes if name not in folders[domain]])
    ]
    if lacking:
        raise DataError(
            f"The domains of {where} have differing classes: {'; '.join(lacking)}. Give every "
            "domain the same class folders."
        )
    filled = {(file.domain, file.class_name) for file in files}
    empty = [f"{d}/{c}" for d in sorted(folders) for c in classes if (d, c) not in filled]
    if empty:
        raise DataError(
            f"In {where} there are classes without images: {listed(empty)}. Add images, or "
            "remove the class from every domain."
        )
    if len(classes) == 1:
        raise DataError(f"{where} has one class, {classes[0]}. At least two are needed. {layout}")
    return tuple(sorted(folders)), tuple(classes)


def _check_names(source: ImageSource, files: tuple[ImageFile, ...]) -> None:
    """Refuse names that are not text: no event, database or report could hold them."""
    bad = [repr(file.path) for file in files if not _is_text(file.path)]
    if bad:
        raise DataError(
            f"In {source.location} there are file names that are not UTF-8: {listed(bad)}. "
            "Rename them."
        )


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_EXTENSIONS)


def _subfolders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder, hidden ones excepted."""
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))


def _walk(folder: Path) -> Iterator[Path]:
    """Yield images in ``make_dataset``'s order: each folder's own files, folders sorted by path."""
    for parent, _, names in sorted(os.walk(folder, followlinks=True)):
        yield from (Path(parent, name) for name in sorted(names) if _is_image(name))


def _walk_order(file: ImageFile) -> tuple[str, str, str, str]:
    """Sort archive members as :func:`_walk` orders files: by folder path, then by name."""
    path = PurePosixPath(file.path)
    return file.domain, file.class_name, str(path.parent), path.name
