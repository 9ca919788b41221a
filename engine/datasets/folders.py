"""Image sets: domains, classes and files of a folder, an archive or a table.

Domains and classes are sorted by name, and files in the order of torchvision's ``ImageFolder``
(``torchvision.datasets.folder.make_dataset``), which determines the split.
"""

from __future__ import annotations

import io
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from engine.datasets.archives import TarSource, is_archive
from engine.datasets.card import TableColumns, read_card
from engine.datasets.corrections import CorrectedSource, read_corrections
from engine.datasets.formats import HEAD_BYTES, IMAGE_EXTENSIONS, formats_of, sniff
from engine.datasets.parquet import find_tables
from engine.datasets.reading import (
    ONE_DOMAIN,
    describe_reading,
    has_shared_classes,
    join_names,
)
from engine.datasets.sources import (
    ABOVE_CLASSES,
    FolderSource,
    ImageSource,
    ZipSource,
)
from engine.datasets.tables import TABLE_SUFFIXES, TableSource
from engine.errors import DataError
from engine.protocol.datasets import LeftOut, add_command, allowed_name, left_out_text
from engine.protocol.spec import Layout
from engine.text import counted, listed, quoted

DAMAGE: Final = (
    SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error, zlib.error,
    Image.DecompressionBombError,
)  # fmt: skip
"""Exceptions that PIL raises for damaged files, in addition to OSError."""

Use = Literal["run", "test", "check"]
"""What images are for: training, where domains need the same classes; a test, where they may lack
classes and one is enough; or a check, which collects problems instead of raising the first."""

DATA_WORDS: Final = (
    "a folder of domain/class/image, a CSV table of path, label and domain, or a zip or tar archive"
)
PACKED_SUFFIXES: Final = (".parquet", ".arrow")
"""Files that must be imported first."""

GROUP_COLUMN: Final = "group"
TEST_DEFAULTS: Final = {TableColumns().domain: ONE_DOMAIN, GROUP_COLUMN: ""}
"""Columns that a table of test images may lack, with the value of every row."""

WIDE_MODES: Final = ("I", "F")
"""PIL's 32-bit modes."""

SHOWN_BYTES: Final = 24
SHOWN_BINARY: Final = 8
"""Number of bytes shown of a file that is not an image."""


class ImageSet:
    """The domains, classes and image files of a data set, not decoded.

    Attributes:
        problems: what keeps runs from using them; empty, except for a check.

    Raises:
        DataError: if there are no images, or the layout cannot be used; states the problem.
    """

    def __init__(
        self,
        name: str,
        source: ImageSource,
        classes: tuple[str, ...] | None = None,
        *,
        use: Use = "run",
        added_from: str | None = None,
    ) -> None:
        """List and check the files.

        Args:
            name: of the data set.
            source: source of its files.
            classes: label space if domains may lack classes; None: every domain has all classes.
            use: what the images are for.
            added_from: path that they were added from; None: they were not added.
        """
        self.name = name
        self.source = source
        self.files = tuple(file for file in source.files() if _is_text(file.path))
        unnamed = _misnamed_files(source)
        folders = source.class_folders()
        if not self.files:
            problem = unnamed or next(iter(source.problems), "") or _no_images(self, folders)
            raise DataError(problem)
        self.domains = tuple(sorted({file.domain for file in self.files}))
        used = {domain: folders[domain] for domain in self.domains}
        self.classes = self._label_space(used, classes, use)
        problems = _layout_problems(self, folders, used, classes, use, added_from)
        self.problems = tuple(filter(None, (unnamed, *source.problems, *problems)))
        if self.problems and use != "check":
            raise DataError(self.problems[0])

    def _label_space(
        self, used: Mapping[str, Collection[str]], known: tuple[str, ...] | None, use: Use
    ) -> tuple[str, ...]:
        """Return the classes, in the order of the labels."""
        if use == "test":
            return tuple(sorted({file.class_name for file in self.files}))
        return tuple(sorted({*(known or ()), *(name for of in used.values() for name in of)}))

    @property
    def location(self) -> Path:
        """Return the folder or the archive."""
        return self.source.location

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Return what was ignored: other files, thumbnails, hidden folders."""
        return self.source.left_out

    @property
    def layout(self) -> str:
        """Return the folder layout, ``table`` for a table."""
        return self.source.reading.layout if self.source.reading else "table"

    @property
    def has_groups(self) -> bool:
        """Return whether images have groups, which are not divided by the split."""
        return any(file.group for file in self.files)

    @property
    def reading(self) -> str:
        """Return a sentence on the layout or the groups; may be empty."""
        reading = self.source.reading
        if reading is not None:
            return describe_reading(reading, self.domains, self.classes)
        return "keeping all images of a group on one side of the split" if self.has_groups else ""

    def __len__(self) -> int:
        return len(self.files)

    def read(self, index: int) -> bytes:
        """Return an image file's content.

        Raises:
            OSError: if it cannot be read.
        """
        return self.source.read(self.files[index].path)

    def open_image(self, index: int) -> Image.Image:
        """Decode an image as RGB.

        Raises:
            OSError: if it cannot be read or decoded, or is truncated.
        """
        return decode_image(self.read(index))

    def open_header(self, index: int) -> Image.Image:
        """Open an image without decoding it, to read its size.

        Raises:
            OSError: if it cannot be read or its header is damaged.
        """
        try:
            return _open_content(self.read(index))
        except DAMAGE as error:
            raise OSError(f"{type(error).__name__}: {error}") from None


def decode_image(content: bytes) -> Image.Image:
    """Decode an image to RGB like torchvision's ``pil_loader``.

    Transparency is dropped, CMYK converted without a colour profile, EXIF orientation ignored, and
    only the first frame of an animation used. Unlike in ``pil_loader``, 16-bit greyscale is reduced
    to its higher 8 bits (PIL would clip most values to white), and 32-bit pixels, whose range is
    unknown, are rejected.

    Raises:
        OSError: if it is not an image, damaged, truncated, or larger than PIL allows (twice
            ``Image.MAX_IMAGE_PIXELS``).
    """
    try:
        with _open_content(content) as image:
            return to_rgb(image)
    except DAMAGE as error:
        raise OSError(f"{type(error).__name__}: {error}") from None


def to_rgb(image: Image.Image) -> Image.Image:
    """Return an image as RGB, see :func:`decode_image`; the same one if it is RGB.

    Raises:
        OSError: if it has 32-bit pixels, or cannot be decoded.
    """
    if _has_16_bits(image):
        return _high_bytes(image).convert("RGB")
    if image.mode in WIDE_MODES:
        raise OSError(
            f"32-bit pixels (mode {image.mode}) are unsupported; save it with 8 or 16 bits"
        )
    if image.mode == "RGB":  # convert would copy it, in half the time of decoding and resizing
        image.load()
        return image
    return image.convert("RGB")


def _open_content(content: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content), formats=formats_of(content))
    except UnidentifiedImageError:
        raise OSError(_no_image(content)) from None


def _no_image(content: bytes) -> str:
    """Return what a file is that PIL cannot identify."""
    if not content:
        return "is empty"
    if suffix := sniff(content[:HEAD_BYTES]):
        return f"is damaged (starts like {suffix}, but cannot be opened)"
    begin = content[:SHOWN_BYTES]
    if not content.strip(b"\0"):
        return f"is not an image (all {len(content):,} bytes are zero)"
    if begin.isascii() and begin.decode("ascii").replace("\n", " ").isprintable():
        shown = repr(begin.decode("ascii").splitlines()[0].strip())
    else:
        shown = begin[:SHOWN_BINARY].hex(" ")
    return f"is not an image (starts with {shown})"


def _has_16_bits(image: Image.Image) -> bool:
    """Return whether an image is 16-bit greyscale; PIL reads some as 32-bit."""
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PPM", "PNG"))


def _high_bytes(image: Image.Image) -> Image.Image:
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def open_image_set(
    name: str,
    location: Path,
    layout: Layout = "auto",
    *,
    use: Use = "run",
    exclude: str | None = None,
) -> ImageSet:
    """Open a folder, an archive or a table of images.

    Args:
        name: of the data set, if it has no card.
        location: folder, archive, table or folder of a card.
        layout: folder layout; ``auto`` detects it.
        use: see :class:`ImageSet`; a table of test images needs no domains and may have groups.
        exclude: exclude list, in addition to the one that the data set was added with.

    Raises:
        DataError: if it is missing or cannot be used.
    """
    card = read_card(location)
    if card is not None and layout != "auto":
        command = add_command(location.name, card.origin or card.root, "--layout", layout)
        raise DataError(
            f"--layout is only for folders and archives; {card.name} has the layout it was added "
            f"with. Add it again: {command} --replace"
        )
    if card is not None and not (location / card.root).exists():
        again = None if Path(card.root).is_absolute() else card.origin
        raise DataError(
            f"The images of {card.name} are missing: {location / card.root}. Restore them, or add "
            f"their new location: {add_command(location.name, again or 'PATH')} --replace"
        )
    try:
        if card is not None:
            source = card.source(location, keeps_problems=use == "check")
            source = _corrected(source, exclude, may_lack_classes=card.classes is not None)
            origin = card.origin or card.root
            return ImageSet(card.name, source, card.classes, use=use, added_from=origin)
        source = _corrected(_source(name, location, layout, use), exclude)
        return ImageSet(name, source, use=use)
    except OSError as error:
        raise DataError(f"{location} cannot be read: {error}.") from None


def _corrected(
    source: ImageSource, exclude: str | None, *, may_lack_classes: bool = False
) -> ImageSource:
    if exclude is None:
        return source
    corrections = replace(read_corrections(exclude), must_match=True)
    return CorrectedSource(source, corrections, may_lack_classes=may_lack_classes)


def _source(name: str, location: Path, layout: Layout, use: Use) -> ImageSource:
    """Return the image source of a folder or a file.

    Raises:
        DataError: if it is missing or of an unsupported kind.
    """
    if location.is_dir():
        return FolderSource(location, layout)
    if not location.exists():
        raise DataError(f"no folder or file {location}. Give {DATA_WORDS}.")
    if not location.is_file():
        raise DataError(f"{location} is a pipe or a device. Give {DATA_WORDS}.")
    if location.suffix.lower() in TABLE_SUFFIXES:
        if layout != "auto":
            raise DataError(
                f"--layout is only for folders and archives, but {location} is a table."
            )
        if use == "test":
            columns = TableColumns(group=GROUP_COLUMN)
            return TableSource(location, columns.names, defaults=TEST_DEFAULTS)
        return TableSource(location, TableColumns().names, keeps_problems=use == "check")
    if location.suffix.lower() == ".zip" or zipfile.is_zipfile(location):
        return ZipSource(location, layout)
    if is_archive(location):
        return TarSource(location, layout)
    if location.suffix.lower() in PACKED_SUFFIXES:
        raise DataError(
            f"{location} must be imported first: {add_command(name, location)}; then use --dataset "
            f"{allowed_name(name, location)}."
        )
    raise DataError(f"{location} is not a folder of images. Give {DATA_WORDS}.")


def _layout_problems(
    images: ImageSet,
    folders: Mapping[str, set[str]],
    used: Mapping[str, set[str]],
    known: tuple[str, ...] | None,
    use: Use,
    added_from: str | None,
) -> Iterator[str]:
    """Yield what is wrong with the domains and classes.

    Args:
        images: their domains with images, classes and files are known.
        folders: class folders by domain.
        used: the same, of domains with images.
        known: label space if domains may lack classes.
        use: what the images are for.
        added_from: see :class:`ImageSet`.
    """
    where = images.location

    def add(*options: str) -> str:
        again = () if added_from is None else ("--replace",)
        return add_command(images.name, added_from or where, *options, *again)

    if bare := sorted(folders.keys() - used.keys()):
        yield (
            f"In {where}, these domain folders have no class folders with images: "
            f"{listed(map(quoted, bare))}. Remove them, or select the domains: "
            f"{add('--domains', ','.join(images.domains))}"
        )
    yield from _case_problems(where, used)
    if use == "test":
        return
    if known is None:
        yield from _class_problems(images, used, add("--keep-missing-classes"))
    elif unknown := sorted(set(images.classes).difference(known)):
        yield (
            f"{where} has classes that it did not have when it was added: {listed(unknown)}. "
            "Remove them, or add the data set under another name."
        )
    if len(images.classes) == 1:
        yield (
            f"{where} has only one class, {quoted(images.classes[0])}; at least two are needed. "
            f"The layout is domain/class/image.{_detected_layout(images)}"
        )


def _no_images(images: ImageSet, folders: Mapping[str, Collection[str]]) -> str:
    """Return an error message for a source without images, by what it contains instead."""
    source = images.source
    where, reading = source.location, source.reading
    counts = {each.kind: each.count for each in source.left_out}
    if reading is None:
        return f"{where} has a header but no rows. Add a row for each image: path, label, domain."
    if (above := counts.get(ABOVE_CLASSES)) and reading.is_given:
        return (
            f"{where} has {counted(above, 'image')} above their class folder and none below, so "
            f"--layout {reading.layout} is wrong. Drop --layout to detect it."
        )
    if above:
        return (
            f"{where} has {counted(above, 'image')} but no class folders, so their classes are "
            "unknown. Arrange them as domain/class/image, or list them in a table of path, label "
            "and domain."
        )
    if not folders and not counts:
        return f"{where} is empty. The layout is domain/class/image."
    if find_tables(where):
        command = add_command(images.name, where)
        return f"{where} contains parquet or arrow files. Import them: {command}"
    also = f" It contains other files ({left_out_text(source.left_out)})." if counts else ""
    known = ", ".join(IMAGE_EXTENSIONS)
    return f"{where} has no images ({known}, …).{also} The layout is domain/class/image."


def _detected_layout(images: ImageSet) -> str:
    """Return a sentence on the layout to append to an error, or an empty string."""
    reading = images.source.reading
    text = describe_reading(reading, images.domains, images.classes) if reading else ""
    return f" Detected layout: {text}" if text else ""


def _class_problems(
    images: ImageSet, folders: Mapping[str, set[str]], keeping: str
) -> Iterator[str]:
    """Yield that domains lack classes; ``keeping`` is the command that adds such images."""
    where = images.location
    lacking = [
        f"{quoted(domain)} lacks {listed(map(quoted, missing))}"
        for domain in images.domains
        if (missing := [name for name in images.classes if name not in folders[domain]])
    ]
    if lacking and _looks_like_sub_classes(images):
        tops = join_names(images.domains, 4)
        yield (
            f"{where} looks like class/sub-class/image: {tops} share hardly any folders, so "
            "they are not domains with the same classes. Use --layout class to read them as "
            "classes of one domain, or rearrange the images as domain/class/image."
        )
        return
    if lacking:
        layout = _detected_layout(images)
        yield (
            f"The domains of {where} have different classes: {'; '.join(lacking)}. Give every "
            f"domain the same class folders, or: {keeping}{layout and '.' + layout}"
        )
    filled = {(file.domain, file.class_name) for file in images.files}
    cells = [(domain, name) for domain in images.domains for name in sorted(folders[domain])]
    if empty := [f"{domain}/{name}" for domain, name in cells if (domain, name) not in filled]:
        yield (
            f"{where} has classes without images: {listed(empty)}. Add images, or remove the class "
            "from every domain."
        )


def _looks_like_sub_classes(images: ImageSet) -> bool:
    """Return whether the detected domains are more likely classes with subfolders."""
    reading = images.source.reading
    if reading is None or reading.is_given or reading.layout != "plain":
        return False
    cells = {(file.domain, file.class_name) for file in images.files}
    return len({domain for domain, _ in cells}) > 1 and not has_shared_classes(cells)


def _case_problems(where: Path, folders: Mapping[str, set[str]]) -> Iterator[str]:
    """Yield names that differ only in case or Unicode normalisation."""
    for kind, names in (("domains", set(folders)), ("classes", set().union(*folders.values()))):
        spellings: dict[str, list[str]] = {}
        for name in sorted(names):
            spellings.setdefault(unicodedata.normalize("NFC", name).casefold(), []).append(name)
        alike = [" and ".join(same) for same in spellings.values() if len(same) > 1]
        if alike:
            yield (
                f"{where} has {kind} whose names differ only in case or in the encoding of "
                f"accents: {listed(alike)}. Rename or merge them."
            )


def _misnamed_files(source: ImageSource) -> str:
    """Return that names are not valid UTF-8, which events cannot contain; empty: all are."""
    bad = [repr(file.path) for file in source.files() if not _is_text(file.path)]
    if not bad:
        return ""
    return f"{source.location} has file names that are not UTF-8: {listed(bad)}. Rename them."


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
