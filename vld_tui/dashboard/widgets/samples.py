"""Misclassified images of the target, or of validation if there is no target, in pages."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any, ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult, SuspendNotSupported
from textual.binding import BindingType
from textual.containers import Grid, Vertical
from textual.widgets import Static

from engine.protocol import Predictions
from vld_tui.dashboard.guard import Guarded
from vld_tui.dashboard.keys import bind
from vld_tui.words.palette import ALARM_STYLE, QUIET_STYLE
from vld_tui.words.text import plain_text

if TYPE_CHECKING:
    from vld_tui.dashboard.widgets.tile import Tile

TILE_MODULE: Final = "vld_tui.dashboard.widgets.tile"
TILE_WIDTHS: Final = (16, 20, 24, 32)
"""Possible widths of an image in cells; it is half as many lines high."""
GAP_CELLS: Final = 2
CAPTION_LINES: Final = 2
NONE_KEPT: Final = "No misclassified images are stored; see Domains."
ALL_RIGHT: Final = "Every {} image is classified correctly."


class SamplesPane(Guarded, Vertical, can_focus=True):
    """Misclassified images, most confident first."""

    DEFAULT_CSS = """
    SamplesPane { height: 1fr; padding: 0 1; }
    SamplesPane:focus { background: $boost; }
    SamplesPane > Static { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    SamplesPane > Grid { height: 1fr; grid-gutter: 1 2; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind(
            "next-page",
            "right,pagedown,space,j,down",
            "page(1)",
            "next page",
            key_display="→",
            show=True,
        ),
        bind(
            "previous-page",
            "left,pageup,k,up",
            "page(-1)",
            "previous page",
            key_display="←",
            show=True,
        ),
        bind("first-page", "home,g", "first_page", "first page"),
    ]

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._predictions: Predictions | None = None
        self._problem: str | None = None
        self._first = 0
        self._drawn: tuple[Predictions | None, tuple[object, ...]] = (None, ())

    def compose(self) -> ComposeResult:
        """Lay out a heading and the images."""
        yield Static()
        yield Grid()

    def show(self, predictions: Predictions | None, problem: str | None) -> None:
        """Show the misclassified images of these predictions."""
        if predictions is not self._predictions:
            self._first = 0
        self._predictions, self._problem = predictions, problem
        self._show()

    def on_resize(self) -> None:
        """Show as many images as fit."""
        self._show()

    def action_page(self, step: int) -> None:
        """Show the next or previous page."""
        if self._predictions is not None:
            _, columns, rows = self._fit()
            following = self._first + step * columns * rows
            if 0 <= following < len(self._predictions.wrong):
                self._first = following
            elif step < 0:
                self._first = 0
            self._show()

    def action_first_page(self) -> None:
        """Show the first page."""
        self._first = 0
        self._show()

    def _fit(self) -> tuple[int, int, int]:
        """Return the width of an image, and the numbers of columns and rows."""
        width, height = self.size.width, self.size.height - 1

        def rows(cells: int) -> int:
            return (height + 1) // (cells // 2 + CAPTION_LINES + 1)

        def columns(cells: int) -> int:
            return (width + GAP_CELLS) // (cells + GAP_CELLS)

        roomy = [each for each in TILE_WIDTHS if rows(each) >= 2 and columns(each) >= 2]
        enough = [each for each in TILE_WIDTHS if rows(each) >= 1 and columns(each) >= 3]
        cells = max(roomy or enough or TILE_WIDTHS[:1])
        return cells, max(1, columns(cells)), max(1, rows(cells))

    def _show(self) -> None:
        if self.size.width == 0 or not self.is_mounted:
            return
        cells, columns, rows = self._fit()
        view = (self._problem, self._first, cells, columns, rows)
        if self._drawn[0] is self._predictions and self._drawn[1] == view:
            return
        self._drawn = (self._predictions, view)
        self.query_one(Static).update(self._heading(columns * rows))
        grid = self.query_one(Grid)
        grid.remove_children()
        if self._predictions is None or not self._predictions.wrong:
            return
        tile = self._tile_class()
        page = self._predictions.wrong[self._first : self._first + columns * rows]
        grid.styles.grid_size_columns = columns
        grid.styles.grid_columns = (str(cells),)
        grid.styles.grid_rows = (str(cells // 2 + CAPTION_LINES),)
        grid.mount_all(tile(wrong, self._predictions.classes, cells) for wrong in page)

    def _tile_class(self) -> type[Tile]:
        """Return the class that draws an image; this first queries the terminal's features."""
        if TILE_MODULE not in sys.modules:
            try:
                with self.app.suspend():
                    importlib.import_module(TILE_MODULE)
            except SuspendNotSupported:  # a browser or a test: no terminal to query
                pass
        from vld_tui.dashboard.widgets.tile import Tile

        return Tile

    def _heading(self, page: int) -> Text:
        if self._problem is not None:
            said = f"predictions.json cannot be read: {plain_text(self._problem)}"
            return Text(said, ALARM_STYLE, no_wrap=True)
        if self._predictions is None:
            return Text(NONE_KEPT, QUIET_STYLE)
        count = len(self._predictions.wrong)
        images = "target" if self._predictions.has_target else "validation"
        if not count:
            return Text(ALL_RIGHT.format(images), QUIET_STYLE)
        last = min(count, self._first + page)
        heading = (
            f"{self._first + 1}–{last} of {count} misclassified {images} images at step "
            f"{self._predictions.step:,}, most confident first"
        )
        return Text(heading, QUIET_STYLE, no_wrap=True, overflow="ellipsis")
