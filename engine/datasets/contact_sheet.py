"""Contact sheets: sample images by class (rows) and domain (columns)."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw

from engine.datasets.folders import ImageSet
from engine.errors import DataError
from engine.protocol.datasets import TILE

THUMBNAIL: Final = 64
PER_CELL: Final = 3
MARGIN: Final = 6
LABEL_WIDTH: Final = 120
LABEL_HEIGHT: Final = 16
BACKGROUND: Final = (255, 255, 255)
INK: Final = (0, 0, 0)

Picture = tuple[ImageSet, int]
"""An image set and the index of one of its images."""


def draw_tiles(image_set: ImageSet, path: Path, seed: int = 0) -> None:
    """Write a PNG with one image for each class (row) and domain (column), without labels.

    Tiles are squares of ``TILE`` pixels, blank if the domain lacks the class.

    Raises:
        DataError: if the file cannot be written.
    """
    indices, chance = _by_cell(image_set), random.Random(seed)
    cells: dict[tuple[int, int], Picture] = {}
    for column, domain in enumerate(image_set.domains):
        for row, class_name in enumerate(image_set.classes):
            if chosen := indices.get((domain, class_name)):
                cells[row, column] = (image_set, chance.choice(chosen))
    _save(_tiled(cells, len(image_set.classes), len(image_set.domains)), path)


def draw_rows(rows: Sequence[Sequence[Picture]], path: Path) -> None:
    """Write a PNG with rows of images in squares of ``TILE`` pixels, without labels.

    Raises:
        DataError: if the file cannot be written.
    """
    cells = {
        (row, column): picture
        for row, pictures in enumerate(rows)
        for column, picture in enumerate(pictures)
    }
    _save(_tiled(cells, len(rows), max(map(len, rows))), path)


def _tiled(cells: Mapping[tuple[int, int], Picture], rows: int, columns: int) -> Image.Image:
    """Return images by row and column."""
    tiles = Image.new("RGB", (TILE * columns, TILE * rows), BACKGROUND)
    for (row, column), picture in cells.items():
        tiles.paste(_thumbnail(*picture, TILE), (column * TILE, row * TILE))
    return tiles


def draw_contact_sheet(image_set: ImageSet, path: Path, seed: int = 0) -> None:
    """Write a PNG with three random images of every class and domain.

    Raises:
        DataError: if the file cannot be written.
    """
    domains, classes = image_set.domains, image_set.classes
    cell = PER_CELL * (THUMBNAIL + 2) + MARGIN
    size = (LABEL_WIDTH + cell * len(domains), LABEL_HEIGHT + (THUMBNAIL + MARGIN) * len(classes))
    sheet = Image.new("RGB", size, BACKGROUND)
    ink = ImageDraw.Draw(sheet)
    indices, chance = _by_cell(image_set), random.Random(seed)
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
    _save(sheet, path)


def refuse_unwritable(path: Path) -> None:
    """Check that a file can be written, before the images are read.

    Raises:
        DataError: if its folder does not exist or cannot be written, or it is a folder.
    """
    if not path.parent.is_dir():
        raise DataError(f"{path} cannot be written: {path.parent} is not a folder.")
    if path.is_dir():
        raise DataError(f"{path} cannot be written: it is a folder.")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise DataError(f"{path} cannot be written: permission denied.")


def _by_cell(image_set: ImageSet) -> dict[tuple[str, str], list[int]]:
    """Return image indices by domain and class."""
    indices: dict[tuple[str, str], list[int]] = {}
    for index, file in enumerate(image_set.files):
        indices.setdefault((file.domain, file.class_name), []).append(index)
    return indices


def _save(sheet: Image.Image, path: Path) -> None:
    try:
        sheet.save(path, format="PNG")
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error}.") from None


def _thumbnail(image_set: ImageSet, index: int, side: int = THUMBNAIL) -> Image.Image:
    """Return an image fitted into a square; a crossed-out square if it cannot be read."""
    square = Image.new("RGB", (side, side), BACKGROUND)
    try:
        image = image_set.open_image(index)
    except OSError:
        ImageDraw.Draw(square).line((0, 0, side, side), fill=(200, 0, 0))
        return square
    image.thumbnail((side, side))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square
