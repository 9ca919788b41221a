"""Images laid out as ``domain/class/image``, in a folder or in a zip archive.

Domains and classes are sorted by name, and files in the order of torchvision's ``ImageFolder``
(``torchvision.datasets.folder.make_dataset``), which the split depends on.
"""

from __future__ import annotations

import io
import struct
import unicodedata
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from engine.datasets.card import read_card
from engine.datasets.errors import DataError
from engine.datasets.sources import (
    IMAGE_EXTENSIONS,
    FolderSource,
    ImageFile,
    ImageSource,
    ZipSource,
)

DAMAGE: Final = (
    SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error, zlib.error,
    Image.DecompressionBombError,
)  # fmt: skip
"""What PIL raises, besides OSError, on damaged files."""

IMAGE_FORMATS: Final = (
    "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP",
)  # fmt: skip
"""PIL's formats that are read, whatever a file's name ends in. Not those that PIL has another
program read, such as PostScript, which is a programming language."""

WIDE_MODES: Final = ("I", "F")
"""PIL's modes of 32 bits."""

MAX_NAMED: Final = 10
"""Names listed in a message before the rest is counted."""


class ImageSet:
    """A data set: its domains, classes and image files, none of them decoded yet.

    Raises:
        DataError: when the layout cannot be trained on; the message says what is wrong.
    """

    def __init__(
        self, name: str, source: ImageSource, classes: tuple[str, ...] | None = None
    ) -> None:
        """Look the files over.

        Args:
            name: of the data set.
            source: where its files come from.
            classes: the label space where a domain may lack a class; None: every domain has all.
        """
        self.name = name
        self.source = source
        self.files = tuple(source.files())
        self.domains, self.classes = _check_layout(source, self.files, classes)

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

    def look_at_image(self, index: int) -> Image.Image:
        """Open an image without decoding it: its size is told, and its pixels are not.

        Raises:
            OSError: when it cannot be read.
        """
        return Image.open(io.BytesIO(self.read(index)), formats=IMAGE_FORMATS)


def decode_image(content: bytes) -> Image.Image:
    """Decode an image as torchvision's ``pil_loader`` does: RGB, the palette resolved.

    Transparency is dropped, CMYK converted without a colour profile, EXIF orientation ignored;
    of an animation the first frame is taken. Unlike ``pil_loader``, 16 bits of grey become the
    higher 8 of them (PIL would clip all but the darkest to white), and pixels of 32 bits, whose
    range nobody states, are refused.

    Raises:
        OSError: when it is not an image, is damaged or truncated, or would take more memory than
            PIL allows (``Image.MAX_IMAGE_PIXELS``, twice).
    """
    try:
        with Image.open(io.BytesIO(content), formats=IMAGE_FORMATS) as image:
            if _has_16_bits(image):
                return _high_bytes(image).convert("RGB")
            if image.mode in WIDE_MODES:
                raise OSError(
                    f"its pixels are of 32 bits (mode {image.mode}), whose range is not known: "
                    "save it with 8 or 16 bits"
                )
            return image.convert("RGB")
    except DAMAGE as error:
        raise OSError(f"{type(error).__name__}: {error}") from None


def _has_16_bits(image: Image.Image) -> bool:
    """Say whether an image is of 16 bits of grey; PIL widens those of PGM and old PNG readers."""
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PPM", "PNG"))


def _high_bytes(image: Image.Image) -> Image.Image:
    """Return the higher 8 of 16 bits of grey."""
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


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
    card = read_card(location)
    try:
        if card is not None:
            return ImageSet(card.name, card.source(location), card.classes)
        return ImageSet(name, FolderSource(location))
    except FileNotFoundError as error:
        raise DataError(
            f"The images of {name} are gone: {error.filename}. Put them back, or remove {location} "
            "and add them again."
        ) from None
    except OSError as error:
        raise DataError(f"{location} cannot be read: {error}.") from None


def listed(names: Iterable[str]) -> str:
    """Return names separated by commas, the first ten of them, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: ``1 image``, ``2 images``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _check_layout(
    source: ImageSource, files: tuple[ImageFile, ...], known_classes: tuple[str, ...] | None
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
    _check_case(where, folders)
    if known_classes is None:
        classes = _check_classes(where, folders, files)
    else:
        classes = _check_known_classes(where, folders, known_classes)
    if len(classes) == 1:
        raise DataError(f"{where} has one class, {classes[0]}. At least two are needed. {layout}")
    return tuple(sorted(folders)), classes


def _check_classes(
    where: Path, folders: dict[str, set[str]], files: tuple[ImageFile, ...]
) -> tuple[str, ...]:
    """Return the classes, sorted; refuse one that some domain has no folder or image of."""
    classes = sorted(set().union(*folders.values()))
    lacking = [
        f"{domain} lacks {listed(missing)}"
        for domain in sorted(folders)
        if (missing := [name for name in classes if name not in folders[domain]])
    ]
    if lacking:
        raise DataError(
            f"The domains of {where} have differing classes: {'; '.join(lacking)}. Give every "
            "domain the same class folders, or: vld data add NAME DIR --keep-missing-classes"
        )
    filled = {(file.domain, file.class_name) for file in files}
    empty = [f"{d}/{c}" for d in sorted(folders) for c in classes if (d, c) not in filled]
    if empty:
        raise DataError(
            f"In {where} there are classes without images: {listed(empty)}. Add images, or "
            "remove the class from every domain."
        )
    return tuple(classes)


def _check_known_classes(
    where: Path, folders: dict[str, set[str]], known: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the label space; refuse a class outside it, such as a folder made later."""
    unknown = sorted(set().union(*folders.values()) - set(known))
    if unknown:
        raise DataError(
            f"{where} has classes it had not when it was added: {listed(unknown)}. Remove them, or "
            "add it again under another name."
        )
    return known


def _check_case(where: Path, folders: dict[str, set[str]]) -> None:
    """Refuse names that only case, or the way accents are encoded, tells apart."""
    for kind, names in (("domains", set(folders)), ("classes", set().union(*folders.values()))):
        spellings: dict[str, list[str]] = {}
        for name in sorted(names):
            spellings.setdefault(unicodedata.normalize("NFC", name).casefold(), []).append(name)
        alike = [" and ".join(same) for same in spellings.values() if len(same) > 1]
        if alike:
            raise DataError(
                f"In {where} there are {kind} whose names differ only in case or in how an accent "
                f"is encoded: {listed(alike)}. Rename them, or put their images together."
            )


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
