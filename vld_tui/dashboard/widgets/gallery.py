"""Images in pages with a current one, which is described below and can be enlarged."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from rich.text import Text
from textual import events, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Static
from textual.worker import get_current_worker

from vld_tui.dashboard.draw.mistakes import Picture
from vld_tui.dashboard.guard import Guarded
from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.widgets.ask import copy_path
from vld_tui.dashboard.widgets.large_picture import LargePicture
from vld_tui.dashboard.widgets.tile_grid import TileFit, TileGrid, tile_module

if TYPE_CHECKING:
    from vld_tui.dashboard.widgets.tile import Tile

DESCRIPTION_LINES: Final = 2
PICTURE_PX: Final = 256
LARGE_PX: Final = 1024


class Gallery(Guarded, Vertical, can_focus=True):
    """Pictures in pages; arrows and clicks choose the current one."""

    DEFAULT_CSS = """
    Gallery { height: 1fr; }
    Gallery:focus { background: $boost; }
    Gallery > Static { height: 2; text-wrap: nowrap; text-overflow: ellipsis; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("large-picture", "enter", "open", "enlarge", show=True),
        bind("image-left", "left,h", "move(-1, 0)", "previous image"),
        bind("image-right", "right,l", "move(1, 0)", "next image"),
        bind("line-up", "up,k", "move(0, -1)", "line up"),
        bind("line-down", "down,j", "move(0, 1)", "line down"),
        bind("next-page", "pagedown,space", "page(1)", "next page", key_display="space", show=True),
        bind("previous-page", "pageup", "page(-1)", "previous page"),
        bind("first-page", "home,g", "page(-1000000000)", "first page"),
        bind("last-page", "end,G", "page(1000000000)", "last page"),
        bind("copy-path", "Y", "copy_path", "copy path", show=True),
    ]

    class Turned(Message):
        """Other pictures are visible."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._pictures: Sequence[Picture] = ()
        self._at = 0
        self._tiles: Sequence[Tile] = ()
        self._drawn: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        """Lay out the pictures above the description of the current one."""
        yield TileGrid()
        yield Static()

    def show(self, pictures: Sequence[Picture]) -> None:
        """Show other pictures, from the first one."""
        self._pictures, self._at = tuple(pictures), 0
        self._draw_page()

    @property
    def shown(self) -> range:
        """Return the places of the visible pictures."""
        first = self._at // self._fit.page * self._fit.page
        return range(first, min(first + self._fit.page, len(self._pictures)))

    def on_resize(self) -> None:
        """Show as many pictures as fit."""
        self._draw_page()

    def on_click(self, event: events.Click) -> None:
        """Go to the clicked picture; a double click enlarges it."""
        above = event.widget.ancestors_with_self if event.widget is not None else ()
        clicked = next((at for at, tile in enumerate(self._tiles) if tile in above), None)
        if clicked is not None:
            self._go(self.shown.start + clicked)
            if event.chain == 2:
                self.action_open()

    def on_mouse_scroll_down(self) -> None:
        """Show the next page."""
        self.action_page(1)

    def on_mouse_scroll_up(self) -> None:
        """Show the previous page."""
        self.action_page(-1)

    def action_move(self, across: int, down: int) -> None:
        """Move to the next picture in a direction."""
        self._go(self._at + across + down * self._fit.columns)

    def action_page(self, step: int) -> None:
        """Move by pages."""
        self._go(self._at + step * self._fit.page)

    def action_open(self) -> None:
        """Show the current picture larger."""
        if self._pictures:
            current = self._pictures[self._at]
            large = partial(current.read, LARGE_PX)
            self.app.push_screen(LargePicture(current.description, large, current.path))

    def action_copy_path(self) -> None:
        """Copy the path of the current picture's file."""
        if self._pictures and self._pictures[self._at].path:
            copy_path(self, self._pictures[self._at].path)

    @property
    def _fit(self) -> TileFit:
        return TileFit.of(self.size.width, self.size.height - DESCRIPTION_LINES)

    def _go(self, at: int) -> None:
        self._at = max(0, min(at, len(self._pictures) - 1))
        self._draw_page()

    def _draw_page(self) -> None:
        if not self.is_mounted or self.size.width == 0:
            return
        fit, places = self._fit, self.shown
        shown = self._pictures[places.start : places.stop]
        drawn = (fit, *map(id, shown))
        if drawn != self._drawn:
            self._drawn = drawn
            grid = self.query_one(TileGrid)
            self._tiles = ()
            if shown:
                tile = tile_module(self.app).Tile
                self._tiles = [tile(each.caption(fit.cells), fit.cells) for each in shown]
                grid.show(self._tiles, fit)
                self._read([*zip(self._tiles, shown, strict=True)])
            else:
                grid.remove_children()
            self.post_message(self.Turned())
        for at, each in enumerate(self._tiles, places.start):
            each.set_class(at == self._at, "-current")
        words = self._pictures[self._at].description if self._pictures else Text()
        self.query_one(Static).update(words)

    @work(thread=True, exclusive=True, group="pictures")
    def _read(self, tiles: Sequence[tuple[Tile, Picture]]) -> None:
        """Read the pictures of a page, until another one is shown."""
        worker = get_current_worker()
        for tile, picture in tiles:
            if not worker.is_cancelled:
                tile.post_message(tile.PictureRead(picture.read(PICTURE_PX)))
