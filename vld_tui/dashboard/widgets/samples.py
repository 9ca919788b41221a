"""Misclassified images of the target, or of validation if there is no target, in pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import Static

from engine.protocol import Predictions, WrongImage
from vld_tui.dashboard.guard import Guarded
from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.widgets.tile_grid import TileFit, TileGrid, tile_module
from vld_tui.views.predictions import caption
from vld_tui.words.palette import ALARM_STYLE, ID_STYLE, OOD_STYLE, QUIET_STYLE
from vld_tui.words.text import plain_text

NONE_KEPT: Final = "No misclassified images are stored; see Domains."
NOT_YET: Final = "No misclassified images yet (saved at the first evaluation)"
ALL_RIGHT: Final = "Every {} image is classified correctly."


class SamplesPane(Guarded, Vertical, can_focus=True):
    """Misclassified images, most confident first."""

    DEFAULT_CSS = """
    SamplesPane { height: 1fr; padding: 0 1; }
    SamplesPane:focus { background: $boost; }
    SamplesPane > Static { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
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
        self._doing = ""
        self._first = 0
        self._drawn: tuple[Predictions | None, tuple[object, ...]] = (None, ())

    def compose(self) -> ComposeResult:
        """Lay out a heading and the images."""
        yield Static()
        yield TileGrid()

    def show(
        self, predictions: Predictions | None, problem: str | None, *, doing: str = ""
    ) -> None:
        """Show the misclassified images of these predictions; ``doing``: what a live run does."""
        if predictions is not self._predictions:
            self._first = 0
        self._predictions, self._problem, self._doing = predictions, problem, doing
        self._show()

    def on_resize(self) -> None:
        """Show as many images as fit."""
        self._show()

    def action_page(self, step: int) -> None:
        """Show the next or previous page."""
        if self._predictions is not None:
            following = self._first + step * self._fit.page
            if 0 <= following < len(self._predictions.wrong):
                self._first = following
            elif step < 0:
                self._first = 0
            self._show()

    def action_first_page(self) -> None:
        """Show the first page."""
        self._first = 0
        self._show()

    @property
    def _fit(self) -> TileFit:
        return TileFit.of(self.size.width, self.size.height - 1)

    def _show(self) -> None:
        if self.size.width == 0 or not self.is_mounted:
            return
        fit = self._fit
        view = (self._problem, self._first, fit, self._predictions is None and self._doing)
        if self._drawn[0] is self._predictions and self._drawn[1] == view:
            return
        self._drawn = (self._predictions, view)
        self.query_one(Static).update(self._heading(fit.page))
        grid = self.query_one(TileGrid)
        if self._predictions is None or not self._predictions.wrong:
            grid.remove_children()
            return
        module = tile_module(self.app)
        page = self._predictions.wrong[self._first : self._first + fit.page]
        captions = [_caption(each, self._predictions.classes, fit.cells) for each in page]
        grid.show(
            [
                module.Tile(text, fit.cells, lambda each=each: module.stored_picture(each.picture))
                for text, each in zip(captions, page, strict=True)
            ],
            fit,
        )

    def _heading(self, page: int) -> Text:
        if self._problem is not None:
            said = f"predictions.json cannot be read: {plain_text(self._problem)}"
            return Text(said, ALARM_STYLE, no_wrap=True)
        if self._predictions is None:
            said = f"{NOT_YET} · {self._doing}" if self._doing else NONE_KEPT
            return Text(said, QUIET_STYLE, no_wrap=True, overflow="ellipsis")
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


def _caption(wrong: WrongImage, classes: Sequence[str], cells: int) -> Text:
    """Return the true and the predicted class."""
    label, guess = caption(classes[wrong.label], classes[wrong.predicted], wrong.confidence, cells)
    text = Text(no_wrap=True, overflow="crop").append(label, ID_STYLE)
    return text.append(f"\n{guess}", OOD_STYLE)
