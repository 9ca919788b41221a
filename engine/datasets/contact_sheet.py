"""A sample of a data set at a glance: a row for each class, a column for each domain."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw

from engine.datasets.errors import DataError
from engine.datasets.folders import ImageSet

THUMBNAIL: Final = 64
PER_CELL: Final = 3
MARGIN: Final = 6
LABEL_WIDTH: Final = 120
LABEL_HEIGHT: Final = 16
BACKGROUND: Final = (255, 255, 255)
INK: Final = (0, 0, 0)


def draw_contact_sheet(image_set: ImageSet, path: Path, seed: int = 0) -> None:
    """Write a PNG of three images of every class and domain, drawn with a fixed seed.

    Raises:
        DataError: when the file cannot be written.
    """
    domains, classes = image_set.domains, image_set.classes
    cell = PER_CELL * (THUMBNAIL + 2) + MARGIN
    size = (LABEL_WIDTH + cell * len(domains), LABEL_HEIGHT + (THUMBNAIL + MARGIN) * len(classes))
    sheet = Image.new("RGB", size, BACKGROUND)
    ink = ImageDraw.Draw(sheet)
    indices: dict[tuple[str, str], list[int]] = {}
    for index, file in enumerate(image_set.files):
        indices.setdefault((file.domain, file.class_name), []).append(index)
    chance = random.Random(seed)
    for column, domain in enumerate(domains):
        left = LABEL_WIDTH + column * cell
        ink.text((left, 2), domain, fill=INK)
        for row, class_name in enumerate(classes):
            top = LABEL_HEIGHT + row * (THUMBNAIL + MARGIN)
            if column == 0:
                ink.text((2, top + THUMBNAIL // 2 - 6), class_name[:18], fill=INK)
            chosen = indices.get((domain, class_name), [])
            for place, index in enumerate(chance.sample(chosen, min(PER_CELL, len(chosen)))):
                thumbnail = _thumbnail(image_set, index)
                sheet.paste(thumbnail, (left + place * (THUMBNAIL + 2), top))
    try:
        sheet.save(path, format="PNG")
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error}.") from None


def _thumbnail(image_set: ImageSet, index: int) -> Image.Image:
    """Return an image fitted into a square; a crossed one where it cannot be read."""
    square = Image.new("RGB", (THUMBNAIL, THUMBNAIL), BACKGROUND)
    try:
        image = image_set.open_image(index)
    except OSError:
        ImageDraw.Draw(square).line((0, 0, THUMBNAIL, THUMBNAIL), fill=(200, 0, 0))
        return square
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    square.paste(image, ((THUMBNAIL - image.width) // 2, (THUMBNAIL - image.height) // 2))
    return square
