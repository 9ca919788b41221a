"""Images in the terminal: a row for each class, a column for each domain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from PIL import Image
from rich.cells import set_cell_size
from rich.console import RenderableType
from rich.text import Text

from engine.protocol.datasets import TILE
from vld_tui.words.numbers import plural
from vld_tui.words.palette import HEADING_STYLE
from vld_tui.words.text import plain_text

WIDEST: Final = 16
"""Cells an image takes at most."""
MOST_CLASSES: Final = 40
"""Classes shown; the rest are counted."""


def tile_rows(
    tiles: Path, domains: Sequence[str], classes: Sequence[str], *, cells: int, colour: bool
) -> Iterator[RenderableType]:
    """Yield the names of the domains, then each class's name and its images.

    Drawn in the finest way that the terminal is found to know: sixels, kitty's graphics, or
    half blocks in colour; without colour as grey characters.

    Args:
        tiles: the PNG of ``CheckDataset.tiles``.
        domains: names of its columns.
        classes: names of its rows.
        cells: width of the terminal.
        colour: whether it may be used.
    """
    # Importing it asks the terminal what it can draw, so not before images are wanted.
    from textual_image import renderable

    draw = renderable.Image if colour else renderable.UnicodeImage
    width = max(1, min(WIDEST, cells // len(domains)))
    heading = "".join(set_cell_size(plain_text(domain), width - 1) + " " for domain in domains)
    yield Text(heading.rstrip(), HEADING_STYLE, no_wrap=True, overflow="crop")
    with Image.open(tiles, formats=("PNG",)) as sheet:
        for row, class_name in enumerate(classes[:MOST_CLASSES]):
            yield Text(plain_text(class_name), no_wrap=True, overflow="ellipsis")
            box = (0, row * TILE, sheet.width, (row + 1) * TILE)
            yield draw(sheet.crop(box), width=width * len(domains), height="auto")
    if len(classes) > MOST_CLASSES:
        yield Text(f"… and {plural(len(classes) - MOST_CLASSES, 'more class')}: --sheet draws all")
