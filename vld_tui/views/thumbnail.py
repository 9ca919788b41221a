"""Thumbnails of image files, and the pictures that runs store."""

from __future__ import annotations

import io
import os
from functools import cache
from typing import IO, Final

from PIL import Image

FORMATS: Final = (
    "AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP",
)  # fmt: skip
"""Formats that are drawn, if PIL supports them here: none starts another program."""
STORED_FORMATS: Final = ("WEBP", "PNG")
WIDEST_PX: Final = 512
"""Maximum size of a picture written by the engine."""
MOST_PIXELS: Final = 64 * 2**20
"""Images with more pixels to decode are not drawn: decoded, they take 200 MB."""


def thumbnail(path: str | os.PathLike[str] | IO[bytes], side_px: int) -> Image.Image | None:
    """Return an image as RGB, at most ``side_px`` wide and high, or None if it cannot be drawn.

    Like a run, it ignores the EXIF orientation and uses the first frame of an animation.
    """
    try:
        with Image.open(path, formats=_formats()) as image:
            image.draft("RGB", (side_px, side_px))  # JPEG: decode at a lower resolution
            if image.width * image.height > MOST_PIXELS:
                return None
            is_wide = image.mode.startswith("I;16")  # PIL would clip it to white
            narrow = image.point(lambda value: value / 256).convert("L") if is_wide else image
            picture = narrow.convert("RGB")
            picture.thumbnail((side_px, side_px))
            return picture
    except (OSError, ValueError, SyntaxError, MemoryError, Image.DecompressionBombError):
        return None


def stored_picture(data: bytes) -> Image.Image | None:
    """Return a picture written by the engine; None if invalid or too large."""
    try:
        with Image.open(io.BytesIO(data), formats=STORED_FORMATS) as picture:
            if max(picture.size) > WIDEST_PX:
                return None
            return picture.convert("RGB")
    except (OSError, ValueError, SyntaxError):
        return None


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(each for each in FORMATS if each in Image.OPEN)
