"""Predictions for images as pictures or as a table, doubtful ones first."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from msgspec import structs
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widgets import Static

from vld_tui.control.predict import ImagePrediction
from vld_tui.dashboard.draw.mistakes import LARGE_PX, PICTURE_PX
from vld_tui.dashboard.guard import Guarded
from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.messages import ActionAsked
from vld_tui.dashboard.screens.pick import Pick, PickOption
from vld_tui.dashboard.widgets.ask import ask_export, copy_path
from vld_tui.dashboard.widgets.key_bar import KeyBar
from vld_tui.dashboard.widgets.large_picture import LargePicture
from vld_tui.dashboard.widgets.tile_grid import PAGE_KEYS, TileFit, TileGrid
from vld_tui.views.image_predictions import (
    OOD_SIGN,
    UNSURE,
    prediction_table,
    prediction_words,
    tile_caption,
)
from vld_tui.views.thumbnail import thumbnail
from vld_tui.words.numbers import plural
from vld_tui.words.palette import HEADING_STYLE, QUIET_STYLE
from vld_tui.words.text import plain_text, shorten_middle

if TYPE_CHECKING:
    from vld_tui.dashboard.actions import Actions
    from vld_tui.dashboard.use.results import Predicted

LEAST_LINES, LEAST_CELLS = 10, 34
"""Smallest area for pictures: two of them side by side."""
ALL, UNLIKE, UNREADABLE, OF_CLASS = "all", "unlike", "unreadable", "class:"
ORDERS: Final[Mapping[str, Callable[[ImagePrediction], Any]]] = {
    "doubtful first": lambda each: -1.0 if each.margin is None else each.margin,
    "most unlike the training images first": lambda each: (
        -math.inf if each.ood_score is None else -each.ood_score
    ),
    "by class": lambda each: (each.class_name is None, each.class_name or "", each.margin or 0.0),
    "as found": lambda _each: 0,
}
"""How images are ordered: the key by its name."""


class PredictionsScreen(Guarded, Screen[None]):
    """The images of a prediction in pages; the current one is described below."""

    AUTO_FOCUS = ""
    DEFAULT_CSS = """
    PredictionsScreen > Static { padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    PredictionsScreen #listed { height: 1; }
    PredictionsScreen TileGrid { padding: 0 1; }
    PredictionsScreen #lines { height: 1fr; }
    PredictionsScreen #chosen { height: 2; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "escape", "app.pop_screen", "back", show=True),
        *PAGE_KEYS,
        bind("order", "o", "order", "order", show=True),
        bind("filter", "slash,f", "filter", "filter", key_display="/", show=True),
        bind("copy-path", "Y", "copy_path", "copy path", show=True),
        bind("view", "v", "other_view", "view"),
        bind("export", "w", "export", "export"),
    ]

    def __init__(self, actions: Actions, predicted: Predicted) -> None:
        super().__init__()
        self._actions, self._predicted = actions, predicted
        self._orders = [
            order for order in ORDERS if predicted.ood is not None or "unlike" not in order
        ]
        self._filter = ALL
        self._listed: Sequence[ImagePrediction] = ()
        self._at = 0
        self._is_table = False

    def compose(self) -> ComposeResult:
        """Lay out the images between their heading and the current one's description."""
        yield Static(id="status")
        yield Static(id="listed")
        yield TileGrid()
        yield Static(id="lines")
        yield Static(id="chosen")
        yield KeyBar()

    def on_mount(self) -> None:
        """Show the most doubtful images."""
        self.query_one("#status", Static).update(
            Text(f" {plain_text(self._predicted.title)}", HEADING_STYLE, no_wrap=True)
        )
        self._list()

    def on_resize(self) -> None:
        """Show as many images as fit."""
        self.call_after_refresh(self._show)

    def on_click(self, event: events.Click) -> None:
        """Go to the clicked image; a double click enlarges it."""
        clicked = self.query_one(TileGrid).place_of(event.widget)
        if clicked is not None:
            self._go(self._at // self._page * self._page + clicked)
            if event.chain == 2:
                self.action_open()

    def on_mouse_scroll_down(self) -> None:
        """Show the next page."""
        self.action_page(1)

    def on_mouse_scroll_up(self) -> None:
        """Show the previous page."""
        self.action_page(-1)

    def action_move(self, across: int, down: int) -> None:
        """Move to the next image in a direction."""
        fit = self._fit
        self._go(self._at + across + down * (1 if fit is None else fit.columns))

    def action_page(self, step: int) -> None:
        """Move by pages."""
        self._go(self._at + step * self._page)

    def action_order(self) -> None:
        """Change the order of the images."""
        self._orders.append(self._orders.pop(0))
        self._list()

    def action_filter(self) -> None:
        """Ask which images to list."""

        def answered(chosen: str | None) -> None:
            if chosen is not None:
                self._filter = chosen
                self._list()

        options = [*_filters(self._predicted.predictions)]
        self.app.push_screen(Pick("Show images:", options, current=self._filter), answered)

    def action_other_view(self) -> None:
        """Switch between pictures and a table."""
        self._is_table = not self._is_table
        self._show()

    def action_copy_path(self) -> None:
        """Copy the path of the current image."""
        if (current := self._current) is not None:
            copy_path(self, current.path)

    def action_open(self) -> None:
        """Show the current image larger."""
        if (current := self._current) is not None:
            width = self.app.size.width - 4
            text = Text(shorten_middle(plain_text(current.path), width), no_wrap=True)
            text.append("\n").append_text(prediction_words(current))
            read = partial(thumbnail, current.path, LARGE_PX)
            self.app.push_screen(LargePicture(text, read, current.path))

    def action_export(self) -> None:
        """Ask where to export the listed predictions, or the screen."""

        def export(path: str) -> None:
            rows, top = self._listed, self._predicted.top
            self.post_message(
                ActionAsked(partial(self._actions.export_predictions, rows, path, top=top))
            )

        question = "Export the listed predictions (.csv, .jsonl, .parquet) or the screen (.svg) to:"
        ask_export(self.app, question, export, example="predictions.csv")

    @property
    def _current(self) -> ImagePrediction | None:
        return self._listed[self._at] if self._listed else None

    @property
    def _fit(self) -> TileFit | None:
        """Return how the pictures are laid out; None: there is a table."""
        width, height = self.size.width - 2, self.size.height - 5
        if self._is_table or width < LEAST_CELLS or height < LEAST_LINES:
            return None
        return TileFit.of(width, height)

    @property
    def _page(self) -> int:
        fit = self._fit
        return max(1, self.size.height - 6) if fit is None else fit.page

    def _go(self, at: int) -> None:
        self._at = max(0, min(at, len(self._listed) - 1))
        self._show()

    def _list(self) -> None:
        """Filter and order the images."""
        found = [each for each in self._predicted.predictions if _is_shown(each, self._filter)]
        self._listed = sorted(found, key=ORDERS[self._orders[0]])
        self._at = 0
        self._show()

    def _show(self) -> None:
        if not self.is_mounted or self.size.width == 0:
            return
        fit, page = self._fit, self._page
        first = self._at // page * page
        shown = self._listed[first : first + page]
        self.query_one(TileGrid).display = fit is not None
        self.query_one("#lines").display = fit is None
        self._show_heading(first, len(shown))
        if fit is None:
            self._show_table(shown)
        else:
            self._show_pictures(shown, fit)
        self._show_current()

    def _show_heading(self, first: int, count: int) -> None:
        total = len(self._listed)
        parts = [f"{first + 1:,}–{first + count:,} of {plural(total, 'image')}, {self._orders[0]}"]
        if not total:
            parts = ["no images"]
        if self._filter != ALL:
            parts.append(f"only {plain_text(_filter_words(self._filter))}")
        parts += map(plain_text, self._predicted.remarks)
        text = Text(" · ".join(parts), QUIET_STYLE, no_wrap=True, overflow="ellipsis")
        self.query_one("#listed", Static).update(text)

    def _show_table(self, shown: Sequence[ImagePrediction]) -> None:
        rows = [structs.replace(each, path=self._short(each.path)) for each in shown]
        top, has_score = max(2, self._predicted.top), self._predicted.ood is not None
        table = prediction_table(rows, self.size.width - 2, top=top, has_score=has_score)
        lines = table.split("\n")
        if shown:
            lines[1 + self._at % self._page].stylize("reverse")
        self.query_one("#lines", Static).update(Text("\n").join(lines))

    def _short(self, path: str) -> str:
        """Return a path without the folder that all images share."""
        return path.removeprefix(self._folder)

    @cached_property
    def _folder(self) -> str:
        folders = {os.path.dirname(each.path) for each in self._predicted.predictions}
        try:
            return os.path.join(os.path.commonpath(folders), "")
        except ValueError:  # none, or relative and absolute ones
            return ""

    def _show_pictures(self, shown: Sequence[ImagePrediction], fit: TileFit) -> None:
        grid = self.query_one(TileGrid)
        grid.show(
            fit,
            shown,
            lambda each: tile_caption(each, fit.cells),
            lambda each: thumbnail(each.path, PICTURE_PX),
        )
        grid.mark(self._at % fit.page)

    def _show_current(self) -> None:
        """Describe the current image."""
        text, current = Text(no_wrap=True, overflow="ellipsis"), self._current
        if current is not None:
            text.append(shorten_middle(plain_text(current.path), max(20, self.size.width - 2)))
            text.append("\n").append_text(prediction_words(current))
        self.query_one("#chosen", Static).update(text)


def _is_shown(prediction: ImagePrediction, shown: str) -> bool:
    match shown:
        case "all":
            return True
        case "unlike":
            return bool(prediction.is_ood)
        case "unsure":
            return prediction.is_unsure
        case "unreadable":
            return prediction.problem is not None
        case _:
            return prediction.class_name == shown.removeprefix(OF_CLASS)


def _filter_words(shown: str) -> str:
    return {UNLIKE: f"images unlike the training images ({OOD_SIGN})"}.get(
        shown, shown.removeprefix(OF_CLASS)
    )


def _filters(predictions: Sequence[ImagePrediction]) -> Iterator[PickOption]:
    """Yield which images can be listed, with their number."""
    yield PickOption(ALL, ("all images", f"{len(predictions):,}"))
    for shown in (UNLIKE, UNSURE, UNREADABLE):
        if count := sum(_is_shown(each, shown) for each in predictions):
            yield PickOption(shown, (_filter_words(shown), f"{count:,}"))
    classes = Counter(each.class_name for each in predictions if each.class_name is not None)
    for name, count in classes.most_common():
        yield PickOption(f"{OF_CLASS}{name}", (name, f"{count:,}"))
