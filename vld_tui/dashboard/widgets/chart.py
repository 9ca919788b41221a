"""An interactive plot: zoom, logarithmic axes, smoothing, a value cursor."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final

import numpy as np
from textual.binding import BindingType

from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.widgets.text import Drawing
from vld_tui.views.plot import LABEL_CELLS, Line, Plot, PlotSeries, View

SMOOTHING: Final = (0.0, 0.6, 0.9, 0.97)
"""Weights of the past that ``s`` cycles through."""
ZOOM_IN, ZOOM_OUT = -0.25, 0.5
PAN_SHARE: Final = 0.1


class Chart(Drawing, can_focus=True):
    """Curves that share their axes."""

    DEFAULT_CSS = "Chart { height: 1fr; min-height: 4; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("log-steps", "x", "toggle_log_x", "log steps"),
        bind("log-values", "y", "toggle_log_y", "log values"),
        bind("smooth", "s", "smooth", "smooth", show=True),
        bind("zoom-in", "plus,equals_sign", "zoom_in", "zoom in", key_display="+"),
        bind("zoom-out", "minus", "zoom_out", "zoom out", key_display="-"),
        bind("all-steps", "0", "zoom_whole", "all steps"),
        bind("values", "i", "cursor", "values", show=True),
        bind("filter-curves", "slash", "filter", "filter curves", key_display="/"),
        bind("left", "left,h", "sideways(-1)", "left"),
        bind("right", "right,l", "sideways(1)", "right"),
    ]

    def __init__(self, *, is_percent: bool = False, **settings: Any) -> None:
        super().__init__(**settings)
        without_colour = bool(os.environ.get("NO_COLOR"))
        self._plot = Plot("", (), is_percent=is_percent, has_marks=without_colour)
        self._all: tuple[PlotSeries, ...] = ()
        self._filter = ""

    @property
    def plot(self) -> Plot:
        """Return what is shown."""
        return self._plot

    def set_series(self, title: str, series: Sequence[PlotSeries]) -> None:
        """Show other curves in the same view."""
        self._all = tuple(series)
        self._show(replace(self._plot, title=title, series=self._wanted()))

    def set_view(self, view: View) -> None:
        """Change the view of the curves."""
        self._show(replace(self._plot, view=view))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Free the keys that move sideways, such as l, while nothing can be moved."""
        if action == "sideways":
            return self._plot.view.cursor is not None or self._plot.view.across is not None
        return super().check_action(action, parameters)

    def action_filter(self) -> None:
        """Ask for a text that the names of shown curves contain."""
        from vld_tui.dashboard.widgets.ask import AskLine  # not needed for the first frame

        def answered(text: str | None) -> None:
            if text is not None:
                self._filter = text
                self._show(replace(self._plot, series=self._wanted()))

        question = AskLine("Show curves whose names contain (empty: all):", answer=self._filter)
        self.app.push_screen(question, answered)

    def action_toggle_log_x(self) -> None:
        """Switch the steps between linear and logarithmic."""
        view = self._plot.view
        self.set_view(replace(view, x_is_log=not view.x_is_log, across=None))

    def action_toggle_log_y(self) -> None:
        """Switch the values between linear and logarithmic."""
        view = self._plot.view
        self.set_view(replace(view, y_is_log=not view.y_is_log))

    def action_smooth(self) -> None:
        """Switch to the next degree of smoothing."""
        view = self._plot.view
        following = SMOOTHING.index(view.smoothing) + 1
        self.set_view(replace(view, smoothing=SMOOTHING[following % len(SMOOTHING)]))

    def action_zoom_in(self) -> None:
        """Show fewer steps, around the cursor or the middle."""
        across = self._plot.across
        if (cursor := self._plot.view.cursor) is not None:
            position = float(across.positions(np.array([cursor]))[0])
            across = across.moved((position - 0.5) * -2 * ZOOM_IN)
        self.set_view(replace(self._plot.view, across=across.widened(ZOOM_IN)))

    def action_zoom_out(self) -> None:
        """Show more steps."""
        whole, across = self._plot.whole, self._plot.across.widened(ZOOM_OUT)
        across = replace(across, low=max(across.low, whole.low), high=min(across.high, whole.high))
        self.set_view(replace(self._plot.view, across=None if across == whole else across))

    def action_zoom_whole(self) -> None:
        """Show every step."""
        self.set_view(replace(self._plot.view, across=None))

    def action_cursor(self) -> None:
        """Show or hide the value cursor."""
        view = self._plot.view
        cursor = self._plot.across.high if view.cursor is None else None
        self.set_view(replace(view, cursor=cursor))

    def action_sideways(self, direction: int) -> None:
        """Move the cursor by a column; without a cursor, move the zoomed range."""
        view, across = self._plot.view, self._plot.across
        if view.cursor is not None:
            columns = max(1, self.size.width - LABEL_CELLS - 1)
            position = float(across.positions(np.array([view.cursor]))[0]) + direction / columns
            self.set_view(replace(view, cursor=across.at(min(1.0, max(0.0, position)))))
        elif view.across is not None:
            self.set_view(replace(view, across=across.moved(PAN_SHARE * direction)))

    def lines(self, cells: int, rows: int) -> Iterable[Line]:
        """Return the curves at a size."""
        return self._plot.lines(cells, rows)

    def _wanted(self) -> tuple[PlotSeries, ...]:
        """Return the curves that match the filter; bounds, which have no names, are left out."""
        wanted = self._filter.casefold()
        return tuple(each for each in self._all if wanted in each.name.casefold())

    def _show(self, plot: Plot) -> None:
        self._plot = plot
        self.redraw()
