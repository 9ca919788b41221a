"""Images laid out as ``domain/class/image``, in a folder or in an archive.

Domains and classes are sorted by name, and files in the order of torchvision's ``ImageFolder``
(``torchvision.datasets.folder.make_dataset``), which the split depends on.
"""

from __future__ import annotations

import io
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, UnidentifiedImageError

from engine.datasets.card import TableColumns, read_card
from engine.datasets.formats import HEAD_BYTES, IMAGE_EXTENSIONS, formats_of, sniff
from engine.datasets.imports import find_tables, is_archive
from engine.datasets.imports.archives import TarSource
from engine.datasets.reading import has_shared_classes, sentence, spoken
from engine.datasets.sources import (
    ABOVE_CLASSES,
    FolderSource,
    ImageFile,
    ImageSource,
    ZipSource,
)
from engine.datasets.tables import TABLE_SUFFIXES, TableSource
from engine.errors import DataError
from engine.protocol.datasets import LeftOut, left_out_text
from engine.protocol.spec import Layout

DAMAGE: Final = (
    SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error, zlib.error,
    Image.DecompressionBombError,
)  # fmt: skip
"""What PIL raises, besides OSError, on damaged files."""

DATA_WORDS: Final = (
    "--data a folder of domain/class/image, a CSV table of path, label and domain, or a zip or tar "
    "archive"
)
PACKED_SUFFIXES: Final = (".parquet", ".arrow")
"""Files that are imported before they are read."""

WIDE_MODES: Final = ("I", "F")
"""PIL's modes of 32 bits."""

SHOWN_BYTES: Final = 24
SHOWN_BINARY: Final = 8
"""Bytes shown of a file that is no image."""
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

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Return what is not among the images: other files, thumbnails, hidden folders."""
        return self.source.left_out

    @property
    def layout(self) -> str:
        """Return how the folders are read, ``table`` for a table."""
        return self.source.reading.layout if self.source.reading else "table"

    @property
    def has_groups(self) -> bool:
        """Say whether images of one group are all trained on or all held out."""
        return any(file.group for file in self.files)

    @property
    def reading(self) -> str:
        """Say how folders or groups are read; empty where that goes without saying."""
        reading = self.source.reading
        if reading is not None:
            return sentence(reading, self.domains, self.classes)
        return "keeping all images of a group on one side of the split" if self.has_groups else ""

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
        """Open an image without decoding it: its size is known, and its pixels are not.

        Raises:
            OSError: when it cannot be read, or its header is damaged.
        """
        try:
            return _open_content(self.read(index))
        except DAMAGE as error:
            raise OSError(f"{type(error).__name__}: {error}") from None


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
        with _open_content(content) as image:
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


def _open_content(content: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content), formats=formats_of(content))
    except UnidentifiedImageError:
        raise OSError(_no_image(content)) from None


def _no_image(content: bytes) -> str:
    """Say what a file is that is no image."""
    if not content:
        return "is empty"
    if suffix := sniff(content[:HEAD_BYTES]):
        return f"is damaged (begins as {suffix}, but cannot be opened)"
    begin = content[:SHOWN_BYTES]
    if not content.strip(b"\0"):
        return f"is not an image (all of its {len(content):,} bytes are zero)"
    if begin.isascii() and begin.decode("ascii").replace("\n", " ").isprintable():
        shown = repr(begin.decode("ascii").splitlines()[0].strip())
    else:
        shown = begin[:SHOWN_BINARY].hex(" ")
    return f"is not an image (begins with {shown})"


def _has_16_bits(image: Image.Image) -> bool:
    """Say whether an image is of 16 bits of grey; PIL widens those of PGM and old PNG readers."""
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PPM", "PNG"))


def _high_bytes(image: Image.Image) -> Image.Image:
    """Return the higher 8 of 16 bits of grey."""
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def open_image_set(name: str, location: Path, layout: Layout = "auto") -> ImageSet:
    """Open a folder, an archive or a table of images.

    Args:
        name: of the data set, where its card does not say.
        location: folder, archive, table or folder of a card.
        layout: how folders are read; ``auto`` recognizes it.

    Raises:
        DataError: when there is nothing there, or it cannot be trained on.
    """
    card = read_card(location)
    if card is not None and layout != "auto":
        raise DataError(
            f"--layout is for folders and archives: {card.name} keeps the layout that it was "
            f"added with. Add it again: vld data add NAME {card.origin or card.root} "
            f"--layout {layout}"
        )
    if card is not None and not (location / card.root).exists():
        again = None if Path(card.root).is_absolute() else card.origin
        raise DataError(
            f"The images of {card.name} are gone: {location / card.root}. Put them back, or give "
            f"their new place: vld data add {location.name} {again or 'PATH'} --replace"
        )
    try:
        if card is not None:
            return ImageSet(card.name, card.source(location), card.classes)
        return ImageSet(name, _source(location, layout))
    except OSError as error:
        raise DataError(f"{location} cannot be read: {error}.") from None


def _source(location: Path, layout: Layout) -> ImageSource:
    """Return what reads a folder or a file.

    Raises:
        DataError: when there is no such folder, or the file is of another kind.
    """
    if location.is_dir():
        return FolderSource(location, layout)
    if not location.exists():
        raise DataError(f"There is no folder or file {location}. Give {DATA_WORDS}.")
    if not location.is_file():
        raise DataError(f"{location} is a pipe or a device. Give {DATA_WORDS}.")
    if location.suffix.lower() in TABLE_SUFFIXES:
        if layout != "auto":
            raise DataError(f"--layout is for folders and archives, but {location} is a table.")
        return TableSource(location, TableColumns().names)
    if location.suffix.lower() == ".zip" or zipfile.is_zipfile(location):
        return ZipSource(location, layout)
    if is_archive(location):
        return TarSource(location, layout)
    if location.suffix.lower() in PACKED_SUFFIXES:
        raise DataError(
            f"{location} must be imported first: vld data add NAME {location}, then give "
            "--dataset NAME."
        )
    raise DataError(f"{location} is not a folder of images. Give {DATA_WORDS}.")


def listed(names: Iterable[str]) -> str:
    """Return names separated by commas, the first ten of them, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more


def quoted(name: str) -> str:
    """Return a name, in quotes where it could be misread: with spaces around it, or a comma."""
    return repr(name) if name != name.strip() or not name or set(name) & set(",;'\"") else name


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: ``1 image``, ``2 images``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _check_layout(
    source: ImageSource, files: tuple[ImageFile, ...], known_classes: tuple[str, ...] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return domains and classes, sorted; refuse what no run can use."""
    folders = source.class_folders()
    _check_names(source, files)
    where, layout = source.location, "The layout is domain/class/image."
    if not files:
        raise DataError(_no_images(source, folders))
    if bare := sorted(set(folders).difference(file.domain for file in files)):
        raise DataError(
            f"In {where} there are folders among the domains that have no class folders with "
            f"images: {listed(map(quoted, bare))}. Remove them, or add the data set with the "
            "domains that it has: vld data add NAME DIR --domains A,B"
        )
    _check_case(where, folders)
    if known_classes is None:
        classes = _check_classes(source, folders, files)
    else:
        classes = _check_known_classes(where, folders, known_classes)
    if len(classes) == 1:
        raise DataError(
            f"{where} has one class, {quoted(classes[0])}. At least two are needed. {layout}"
            f"{_read_as(source, folders, classes)}"
        )
    return tuple(sorted(folders)), classes


def _no_images(source: ImageSource, folders: Mapping[str, Collection[str]]) -> str:
    """Say why a source has no images, by what it has instead."""
    where, reading = source.location, source.reading
    counts = {each.kind: each.count for each in source.left_out}
    if reading is None:
        return f"{where} has a heading and no rows. Give each image a row: path, label, domain."
    if (above := counts.get(ABOVE_CLASSES)) and reading.is_given:
        return (
            f"{where} has {counted(above, 'image')} above their class folder and none below: "
            f"--layout {reading.layout} does not fit. Leave it out to have the layout recognized."
        )
    if above:
        return (
            f"{where} holds {counted(above, 'image')} and no class folders, so their classes are "
            "unknown. Put them into folders of domain/class/image, or list them in a table of "
            "path, label and domain."
        )
    if not folders and not counts:
        return f"{where} is empty: it has no images. The layout is domain/class/image."
    if find_tables(where):
        return (
            f"{where} holds parquet or arrow files, which are imported: vld data add NAME {where}"
        )
    also = f" It holds other things ({left_out_text(source.left_out)})." if counts else ""
    known = ", ".join(IMAGE_EXTENSIONS)
    return f"{where} has no images ({known}, …).{also} The layout is domain/class/image."


def _read_as(
    source: ImageSource, folders: Mapping[str, Collection[str]], classes: Collection[str]
) -> str:
    """Return the sentence on how folders were read, to follow another."""
    said = sentence(source.reading, folders, classes) if source.reading else ""
    return f" It was read so: {said}" if said else ""


def _check_classes(
    source: ImageSource, folders: dict[str, set[str]], files: tuple[ImageFile, ...]
) -> tuple[str, ...]:
    """Return the classes, sorted; refuse one that some domain has no folder or image of."""
    where = source.location
    classes = sorted(set().union(*folders.values()))
    lacking = [
        f"{quoted(domain)} lacks {listed(map(quoted, missing))}"
        for domain in sorted(folders)
        if (missing := [name for name in classes if name not in folders[domain]])
    ]
    if lacking:
        if _looks_like_sub_classes(source, files):
            tops = spoken(sorted(folders), 4)
            raise DataError(
                f"{where} looks like class/sub-class/image: {tops} share hardly any folders, so "
                "they are not domains of the same classes. Use --layout class to read them as the "
                "classes of one domain, or rearrange it as domain/class/image."
            )
        said = _read_as(source, folders, classes)
        raise DataError(
            f"The domains of {where} have differing classes: {'; '.join(lacking)}. Give every "
            "domain the same class folders, or: vld data add NAME DIR --keep-missing-classes"
            f"{said and '.' + said}"
        )
    filled = {(file.domain, file.class_name) for file in files}
    empty = [f"{d}/{c}" for d in sorted(folders) for c in classes if (d, c) not in filled]
    if empty:
        raise DataError(
            f"In {where} there are classes without images: {listed(empty)}. Add images, or "
            "remove the class from every domain."
        )
    return tuple(classes)


def _looks_like_sub_classes(source: ImageSource, files: tuple[ImageFile, ...]) -> bool:
    """Say whether folders that were taken for domains are classes with folders of their own."""
    reading = source.reading
    if reading is None or reading.is_given or reading.layout != "plain":
        return False
    cells = {(file.domain, file.class_name) for file in files}
    return len({domain for domain, _ in cells}) > 1 and not has_shared_classes(cells)


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
