"""Pictures of misclassified images, with what was predicted for them."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from rich.text import Text

from engine.protocol.neighbours import Neighbour
from vld_tui.runs.flips import FlippedImage
from vld_tui.runs.mistakes import Mistake
from vld_tui.views.flips import flip_words
from vld_tui.views.predictions import caption, mistake_words
from vld_tui.views.thumbnail import stored_picture, thumbnail
from vld_tui.words.palette import ID_STYLE, OOD_STYLE
from vld_tui.words.text import plain_text, shorten

if TYPE_CHECKING:
    from PIL.Image import Image

PICTURE_PX: Final = 256
"""Longest side of a picture among others."""
LARGE_PX: Final = 1024
"""Longest side of an enlarged picture."""
STORED_PX: Final = 96
"""Longest side of a picture that a run stores."""
MOST_FILE_BYTES: Final = 64 * 2**20
"""Maximum size of an image that is read from an archive."""


class Picture(NamedTuple):
    """An image to show.

    Attributes:
        caption: two lines for a width in cells.
        description: two lines.
        read: returns it, at most so many pixels wide and high; None: it cannot be drawn.
        path: of its file; empty: not known.
    """

    caption: Callable[[int], Text]
    description: Text
    read: Callable[[int], Image | None]
    path: str = ""


def mistake_picture(
    mistake: Mistake,
    classes: Sequence[str],
    folder: str | None,
    neighbours: Sequence[Neighbour] = (),
) -> Picture:
    """Return a misclassified image.

    Args:
        mistake: the image.
        classes: names of all classes.
        folder: that of the data set, if there is one.
        neighbours: the training images nearest to it, drawn next to the enlarged picture.
    """
    label, predicted = classes[mistake.label], classes[mistake.predicted]

    def captioned(cells: int) -> Text:
        true, guess = caption(label, predicted, mistake.confidence, cells)
        return two_lines(true, guess)

    return Picture(
        captioned,
        Text(mistake_words(mistake, classes, neighbours), no_wrap=True, overflow="ellipsis"),
        partial(_read_with, mistake, [each.path for each in neighbours], folder),
        mistake.name,
    )


def flip_picture(flip: FlippedImage, classes: Sequence[str], folder: str | None) -> Picture:
    """Return an image that one of two runs, or both, misclassify."""
    stored = flip.stored
    name = stored.name if stored is not None else ""
    guesses = [classes[predicted] for predicted in flip.predicted]

    def captioned(cells: int) -> Text:
        half = max(1, (cells - 5) // 2)
        first, second = (shorten(plain_text(each), half) for each in guesses)
        return two_lines(shorten(plain_text(classes[flip.label]), cells), f"A {first} B {second}")

    where = plain_text(name) or f"image {flip.index:,} of its domain"
    words = f"{where}\n{flip_words(flip, classes)}"
    read = (
        partial(read_picture, stored.picture, stored.name, folder)
        if stored is not None
        else _nothing
    )
    return Picture(captioned, Text(words, no_wrap=True, overflow="ellipsis"), read, name)


def two_lines(first: str, second: str) -> Text:
    """Return the caption of a picture."""
    text = Text(no_wrap=True, overflow="crop").append(first, ID_STYLE)
    return text.append(f"\n{second}", OOD_STYLE)


def _nothing(_side_px: int) -> Image | None:
    return None


def read_picture(stored: bytes, name: str, folder: str | None, side_px: int) -> Image | None:
    """Return the stored picture, or the image of the data set if that is larger or the only one."""
    if side_px > STORED_PX or not stored:
        file = _file(folder, name)
        found = thumbnail(file, side_px) if file is not None else None
        if found is not None:
            return found
    return stored_picture(stored)


def _read_with(
    mistake: Mistake, neighbours: Sequence[str], folder: str | None, side_px: int
) -> Image | None:
    """Return the picture of a mistake; if it is large, with those of neighbours to its right."""
    found = read_picture(mistake.picture, mistake.name, folder, side_px)
    if side_px <= PICTURE_PX or found is None:
        return found
    others = [read_picture(b"", each, folder, side_px) for each in neighbours]
    return beside(found, others, side_px) if any(others) else found


def beside(picture: Image, others: Sequence[Image | None], side_px: int) -> Image:
    """Return a picture with others below one another to its right, ``side_px`` wide.

    The place of one that is None stays empty, so that places agree with the classes in the text.
    """
    from PIL import Image as Images

    small_px, gap_px = side_px // 4, side_px // 64
    sheet = Images.new("RGB", (side_px, side_px - small_px))
    sheet.paste(_fitted(picture, side_px - small_px - gap_px), (0, 0))
    for place, each in enumerate(others):
        if each is not None:
            sheet.paste(_fitted(each, small_px - gap_px), (side_px - small_px, place * small_px))
    return sheet


def _fitted(picture: Image, side_px: int) -> Image:
    """Return a picture whose longer side is ``side_px``."""
    scale = side_px / max(picture.size)
    width, height = (max(1, round(scale * each)) for each in picture.size)
    return picture.resize((width, height))


def _file(folder: str | None, name: str) -> Path | IO[bytes] | None:
    """Return an image of a data set's folder or zip archive; None: it is missing, or outside."""
    if folder is None or not name:
        return None
    try:
        root = Path(folder).resolve()
        if root.is_file():
            return _archived(root, name)
        file = (root / name).resolve()
        return file if file.is_relative_to(root) and file.is_file() else None
    except (OSError, ValueError):
        return None


def _archived(archive: Path, name: str) -> IO[bytes] | None:
    """Return an image of a zip archive; None: it is missing or too large."""
    try:
        with zipfile.ZipFile(archive) as images:
            about = images.getinfo(name)
            return io.BytesIO(images.read(about)) if about.file_size <= MOST_FILE_BYTES else None
    except (KeyError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return None
