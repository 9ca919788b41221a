"""Images in the terminal: a row per class, a column per domain."""

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
"""Maximum width of an image in cells."""
MOST_CLASSES: Final = 40
"""Maximum classes shown."""


def tile_rows(
    tiles: Path, domains: Sequence[str], classes: Sequence[str], *, cells: int, colour: bool
) -> Iterator[RenderableType]:
    """Yield the names of the domains, then each class's name and its images.

    Uses the best method that the terminal supports: sixels, kitty graphics, or coloured half
    blocks; without colour, grey characters.

    Args:
        tiles: the PNG of ``CheckDataset.tiles``.
        domains: names of its columns.
        classes: names of its rows.
        cells: width of the terminal.
        colour: whether to use colour.
    """
    # Importing it queries the terminal's capabilities, so import it only to draw images.
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
        yield Text(
            f"… and {plural(len(classes) - MOST_CLASSES, 'more class')}; to draw all: --sheet"
        )
