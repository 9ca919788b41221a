"""Images in pages with a current one, which is described below and can be enlarged."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Final

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Static

from vld_tui.dashboard.draw.mistakes import LARGE_PX, PICTURE_PX, Picture
from vld_tui.dashboard.guard import Guarded
from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.widgets.ask import copy_path
from vld_tui.dashboard.widgets.large_picture import LargePicture
from vld_tui.dashboard.widgets.tile_grid import PAGE_KEYS, TileFit, TileGrid

DESCRIPTION_LINES: Final = 2


class Gallery(Guarded, Vertical, can_focus=True):
    """Pictures in pages; arrows and clicks choose the current one."""

    DEFAULT_CSS = """
    Gallery { height: 1fr; }
    Gallery:focus { background: $boost; }
    Gallery > Static { height: 2; text-wrap: nowrap; text-overflow: ellipsis; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *PAGE_KEYS,
        bind("copy-path", "Y", "copy_path", "copy path", show=True),
    ]

    class Turned(Message):
        """Other pictures are visible."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._pictures: Sequence[Picture] = ()
        self._at = 0

    def compose(self) -> ComposeResult:
        """Lay out the pictures above the description of the current one."""
        yield TileGrid()
        yield Static()

    def show(self, pictures: Sequence[Picture]) -> None:
        """Show other pictures, from the first one."""
        self._pictures, self._at = tuple(pictures), 0
        self._draw_page()

    def replace_current(self, picture: Picture) -> None:
        """Show another picture at the current place."""
        at = self._at
        self._pictures = (*self._pictures[:at], picture, *self._pictures[at + 1 :])
        self._draw_page()

    @property
    def current(self) -> int:
        """Return the place of the current picture."""
        return self._at

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
        clicked = self.query_one(TileGrid).place_of(event.widget)
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
        grid = self.query_one(TileGrid)
        if grid.show(
            fit, shown, lambda each: each.caption(fit.cells), lambda each: each.read(PICTURE_PX)
        ):
            self.post_message(self.Turned())
        grid.mark(self._at - places.start)
        words = self._pictures[self._at].description if self._pictures else Text()
        self.query_one(Static).update(words)
