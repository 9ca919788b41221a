"""Target images that are classified wrongly, drawn in the terminal, a page at a time."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

from PIL import Image as PilImage
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Grid, Vertical
from textual.widget import Widget
from textual.widgets import Static

# Asks the terminal what it can draw, so it has to come before the dashboard takes it over.
from textual_image.renderable import Image as BestRenderable
from textual_image.renderable import UnicodeImage as GreyRenderable
from textual_image.widget import HalfcellImage, Image, UnicodeImage

from engine.protocol import Predictions, WrongImage
from vld_tui.bindings import bind
from vld_tui.guard import Guarded
from vld_tui.views.palette import ALARM_STYLE, ID_STYLE, OOD_STYLE, QUIET_STYLE
from vld_tui.views.predictions import caption
from vld_tui.views.text import plain_text

TILE_WIDTHS: Final = (16, 20, 24, 32)
"""Terminal cells that an image may be wide; it is half as many lines high."""
GAP_CELLS: Final = 2
CAPTION_LINES: Final = 2
FORMATS: Final = ("WEBP", "PNG")
WIDEST_PX: Final = 512
"""A picture beyond this is none that the engine made."""
NONE_KEPT: Final = "No wrongly classified images are kept: see Domains."
ALL_RIGHT: Final = "Every target image is classified correctly."


class Tile(Vertical):
    """One image above its class and what it was taken for."""

    DEFAULT_CSS = "Tile > Static { height: 2; }"

    def __init__(self, wrong: WrongImage, classes: Sequence[str], cells: int) -> None:
        super().__init__()
        self._wrong, self._class_names, self._cells = wrong, classes, cells

    def compose(self) -> ComposeResult:
        """Lay out the image and the two lines below."""
        yield self._drawn()
        wrong = self._wrong
        label, guess = caption(
            self._class_names[wrong.label], self._class_names[wrong.predicted],
            wrong.confidence, self._cells,
        )  # fmt: skip
        text = Text(no_wrap=True, overflow="crop").append(label, ID_STYLE)
        yield Static(text.append(f"\n{guess}", OOD_STYLE))

    def _drawn(self) -> Widget:
        picture = _decode(self._wrong.picture)
        if picture is None:
            drawn: Widget = Static(Text("cannot be drawn", QUIET_STYLE))
        else:
            drawn = image_kind(is_colourless=self.app.no_color)(picture)
        drawn.styles.width, drawn.styles.height = self._cells, self._cells // 2
        return drawn


def image_kind(*, is_colourless: bool) -> Callable[[PilImage.Image], Widget]:
    """Return the finest way to draw an image that works here.

    Half blocks where the terminal knows no graphics, or could not be asked; grey characters
    where no colour is wanted.
    """
    if is_colourless:
        return UnicodeImage
    return HalfcellImage if BestRenderable is GreyRenderable else Image


def _decode(data: bytes) -> PilImage.Image | None:
    """Return a picture; None for what is none, or far too large."""
    try:
        with PilImage.open(io.BytesIO(data), formats=FORMATS) as picture:
            if max(picture.size) > WIDEST_PX:
                return None
            return picture.convert("RGB")
    except (OSError, ValueError, SyntaxError):
        return None


class SamplesPane(Guarded, Vertical, can_focus=True):
    """Wrong images, most confident first."""

    DEFAULT_CSS = """
    SamplesPane { height: 1fr; padding: 0 1; }
    SamplesPane:focus { background: $boost; }
    SamplesPane > Static { height: 1; }
    SamplesPane > Grid { height: 1fr; grid-gutter: 1 2; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("right,pagedown,space,j,down", "page(1)", "next page", key_display="→", show=True),
        bind("left,pageup,k,up", "page(-1)", "page before", key_display="←", show=True),
        bind("home,g", "first_page", "first page"),
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
        """Show the mistakes of these predictions."""
        if predictions is not self._predictions:
            self._first = 0
        self._predictions, self._problem = predictions, problem
        self._show()

    def on_resize(self) -> None:
        """Fit as many images as there is room for."""
        self._show()

    def action_page(self, step: int) -> None:
        """Show the next page, or the one before."""
        if self._predictions is not None:
            _, columns, rows = self._fit()
            following = self._first + step * columns * rows
            if 0 <= following < len(self._predictions.wrong):
                self._first = following
            elif step < 0:
                self._first = 0
            self._show()

    def action_first_page(self) -> None:
        """Show the most confident mistakes."""
        self._first = 0
        self._show()

    def _fit(self) -> tuple[int, int, int]:
        """Return the width of an image, how many stand side by side, and how many rows."""
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
        if self._predictions is None:
            return
        page = self._predictions.wrong[self._first : self._first + columns * rows]
        grid.styles.grid_size_columns = columns
        grid.styles.grid_columns = (str(cells),)
        grid.styles.grid_rows = (str(cells // 2 + CAPTION_LINES),)
        grid.mount_all(Tile(wrong, self._predictions.classes, cells) for wrong in page)

    def _heading(self, page: int) -> Text:
        if self._problem is not None:
            said = f"predictions.json cannot be read: {plain_text(self._problem)}"
            return Text(said, ALARM_STYLE, no_wrap=True)
        if self._predictions is None:
            return Text(NONE_KEPT, QUIET_STYLE)
        count = len(self._predictions.wrong)
        if not count:
            return Text(ALL_RIGHT, QUIET_STYLE)
        last = min(count, self._first + page)
        heading = (
            f"{self._first + 1}–{last} of {count} target images classified wrongly at step "
            f"{self._predictions.step:,}, most confident first"
        )
        return Text(heading, QUIET_STYLE, no_wrap=True, overflow="ellipsis")
