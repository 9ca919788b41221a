"""A grid of as many images as fit."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from textual.app import App, SuspendNotSupported
from textual.containers import Grid

if TYPE_CHECKING:
    from vld_tui.dashboard.widgets.tile import Tile

TILE_MODULE: Final = "vld_tui.dashboard.widgets.tile"
TILE_WIDTHS: Final = (16, 20, 24, 32)
"""Possible widths of an image in cells; it is half as many lines high."""
GAP_CELLS: Final = 2
CAPTION_LINES: Final = 2


class TileFit(NamedTuple):
    """The width of an image in cells, and the numbers of columns and rows."""

    cells: int
    columns: int
    rows: int

    @classmethod
    def of(cls, width: int, height: int) -> Self:
        """Return the largest images of which enough fit."""

        def rows(cells: int) -> int:
            return (height + 1) // (cells // 2 + CAPTION_LINES + 1)

        def columns(cells: int) -> int:
            return (width + GAP_CELLS) // (cells + GAP_CELLS)

        roomy = [each for each in TILE_WIDTHS if rows(each) >= 2 and columns(each) >= 2]
        enough = [each for each in TILE_WIDTHS if rows(each) >= 1 and columns(each) >= 3]
        cells = max(roomy or enough or TILE_WIDTHS[:1])
        return cls(cells, max(1, columns(cells)), max(1, rows(cells)))

    @property
    def page(self) -> int:
        """Return the number of images on a page."""
        return self.columns * self.rows


class TileGrid(Grid):
    """Images in columns and rows."""

    DEFAULT_CSS = "TileGrid { height: 1fr; grid-gutter: 1 2; }"

    def show(self, tiles: Sequence[Tile], fit: TileFit) -> None:
        """Replace the images."""
        self.remove_children()
        self.styles.grid_size_columns = fit.columns
        self.styles.grid_columns = (str(fit.cells),)
        self.styles.grid_rows = (str(fit.cells // 2 + CAPTION_LINES),)
        self.mount_all(tiles)


def tile_module(app: App[Any]) -> Any:
    """Return the module that draws images; the first time, it queries the terminal's features."""
    if TILE_MODULE not in sys.modules:
        try:
            with app.suspend():
                return importlib.import_module(TILE_MODULE)
        except SuspendNotSupported:  # a browser or a test: no terminal to query
            pass
    return importlib.import_module(TILE_MODULE)
