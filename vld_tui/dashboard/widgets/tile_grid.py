"""A grid of as many images as fit: one page of many."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeVar

from textual import work
from textual.app import App, SuspendNotSupported
from textual.containers import Grid
from textual.widget import Widget
from textual.worker import get_current_worker

from vld_tui.dashboard.keys import bind

if TYPE_CHECKING:
    from PIL.Image import Image
    from rich.text import Text

    from vld_tui.dashboard.widgets.tile import Tile

Shown = TypeVar("Shown")

TILE_MODULE: Final = "vld_tui.dashboard.widgets.tile"
TILE_WIDTHS: Final = (16, 20, 24, 32)
"""Possible widths of an image in cells; it is half as many lines high."""
GAP_CELLS: Final = 2
CAPTION_LINES: Final = 2
PAGE_KEYS: Final = (
    bind("large-picture", "enter", "open", "enlarge", show=True),
    bind("image-left", "left,h", "move(-1, 0)", "previous image"),
    bind("image-right", "right,l", "move(1, 0)", "next image"),
    bind("line-up", "up,k", "move(0, -1)", "line up"),
    bind("line-down", "down,j", "move(0, 1)", "line down"),
    bind("next-page", "pagedown,space", "page(1)", "next page", key_display="space", show=True),
    bind("previous-page", "pageup", "page(-1)", "previous page"),
    bind("first-page", "home,g", "page(-1000000000)", "first page"),
    bind("last-page", "end,G", "page(1000000000)", "last page"),
)
"""The keys of images in pages, of which one is current."""


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
    """Images in columns and rows, read by a worker; only those shown are kept in memory."""

    DEFAULT_CSS = "TileGrid { height: 1fr; grid-gutter: 1 2; }"

    def __init__(self) -> None:
        super().__init__()
        self._tiles: Sequence[Tile] = ()
        self._drawn: tuple[object, ...] = ()

    def show(
        self,
        fit: TileFit,
        images: Sequence[Shown],
        caption: Callable[[Shown], Text],
        read: Callable[[Shown], Image | None],
    ) -> bool:
        """Show a page of images unless it is shown; return whether it was another one."""
        drawn = (fit, *map(id, images))
        if drawn == self._drawn:
            return False
        self._drawn = drawn
        self.remove_children()
        self._tiles = ()
        if images:
            tile = tile_module(self.app).Tile
            self._tiles = [tile(caption(each), fit.cells) for each in images]
            self.styles.grid_size_columns = fit.columns
            self.styles.grid_columns = (str(fit.cells),)
            self.styles.grid_rows = (str(fit.cells // 2 + CAPTION_LINES),)
            self.mount_all(self._tiles)
            self._read([*zip(self._tiles, images, strict=True)], read)
        return True

    def mark(self, place: int) -> None:
        """Mark the current image."""
        for at, tile in enumerate(self._tiles):
            tile.set_class(at == place, "-current")

    def place_of(self, widget: Widget | None) -> int | None:
        """Return the place of the image that a widget belongs to."""
        above = widget.ancestors_with_self if widget is not None else ()
        return next((at for at, tile in enumerate(self._tiles) if tile in above), None)

    @work(thread=True, exclusive=True, group="pictures")
    def _read(
        self, tiles: Sequence[tuple[Tile, Shown]], read: Callable[[Shown], Image | None]
    ) -> None:
        """Read the images of a page, until another one is shown."""
        worker = get_current_worker()
        for tile, image in tiles:
            if not worker.is_cancelled:
                tile.post_message(tile.PictureRead(read(image)))


def tile_module(app: App[Any]) -> Any:
    """Return the module that draws images; the first time, it queries the terminal's features."""
    if TILE_MODULE not in sys.modules:
        try:
            with app.suspend():
                return importlib.import_module(TILE_MODULE)
        except SuspendNotSupported:  # a browser or a test: no terminal to query
            pass
    return importlib.import_module(TILE_MODULE)
