"""Thumbnails of image files."""

from __future__ import annotations

import os
from functools import cache
from typing import Final

from PIL import Image

FORMATS: Final = (
    "AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP",
)  # fmt: skip
"""Formats that are drawn, if PIL supports them here: none starts another program."""
MOST_PIXELS: Final = 64 * 2**20
"""Images with more pixels to decode are not drawn: decoded, they take 200 MB."""


def thumbnail(path: str | os.PathLike[str], side_px: int) -> Image.Image | None:
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


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(each for each in FORMATS if each in Image.OPEN)
