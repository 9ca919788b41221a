"""An interactive plot: zoom, logarithmic axes, smoothing, a value cursor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

import numpy as np
from textual import events
from textual.binding import BindingType
from textual.message import Message

from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.widgets.text import Drawing
from vld_tui.views.legend import Line
from vld_tui.views.plot import (
    EMPTY,
    LABEL_CELLS,
    STEP_NAME,
    X_SCALES,
    Plot,
    PlotSeries,
    View,
)
from vld_tui.views.raster import PlotAxis
from vld_tui.words.text import plain_text

SMOOTHING: Final = (0.0, 0.6, 0.9, 0.97)
"""Weights of the past that ``s`` cycles through."""
ZOOM: Final = 2.0
WHEEL_ZOOM: Final = 1.25
"""Factors by which a key and a notch of the wheel change the visible range."""
PAN_SHARE: Final = 0.1
NO_TIMES: Final = "no recorded times"


class Chart(Drawing, can_focus=True):
    """Curves that share their axes.

    A click reads the values at a step, the wheel zooms, dragging moves, a double click resets.
    """

    DEFAULT_CSS = """
    Chart { height: 1fr; min-height: 4; }
    Chart.-empty { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("log-steps", "x", "toggle_log_x", "log steps"),
        bind("time-axis", "W", "next_scale", "steps/time"),
        bind("log-values", "y", "toggle_log_y", "log values"),
        bind("smooth", "s", "smooth", "smooth", show=True),
        bind("zoom-in", "plus,equals_sign", "zoom_in", "zoom in", key_display="+"),
        bind("zoom-out", "minus", "zoom_out", "zoom out", key_display="-"),
        bind("all-steps", "0", "zoom_whole", "all steps"),
        bind("values", "i", "cursor", "values", show=True),
        bind("filter-curves", "slash", "filter", "filter curves", key_display="/"),
        bind("left", "left,h", "sideways(-1)", "left"),
        bind("right", "right,l", "sideways(1)", "right"),
        bind("first-value", "home,g", "to_end(-1)", "first value"),
        bind("last-value", "end,G", "to_end(1)", "last value"),
    ]

    @dataclass
    class ViewChanged(Message):
        """The user looks at other steps, or moved the value cursor."""

        chart: Chart
        view: View

    def __init__(self, *, is_percent: bool = False, **settings: Any) -> None:
        super().__init__(**settings)
        self._plot = Plot("", (), is_percent=is_percent, shows_spread=True)
        self._all: tuple[PlotSeries, ...] = ()
        self._aligned: tuple[PlotSeries, ...] = ()
        self._filter = ""
        self._grabbed: tuple[int, PlotAxis] | None = None
        self._is_dragged = False

    def on_mount(self) -> None:
        """Draw with marks and line patterns if there are no colours."""
        self._show(replace(self._plot, is_colourless=self.app.no_color))

    @property
    def plot(self) -> Plot:
        """Return what is shown."""
        return self._plot

    def set_series(
        self,
        title: str,
        series: Sequence[PlotSeries],
        *,
        aligned: Sequence[PlotSeries] = (),
        length: float | None = None,
        step_name: Callable[[int], str] = STEP_NAME,
    ) -> None:
        """Show other curves in the same view.

        ``aligned``, ``length`` and ``step_name`` are as of :class:`Plot`.
        """
        self._all, self._aligned = tuple(series), tuple(aligned)
        self._plot = replace(self._plot, title=title, length=length, step_name=step_name)
        self.set_view(self._plot.view)

    def set_view(self, view: View) -> None:
        """Change the view of the curves."""
        aligned = tuple(each.over(view.x_scale) for each in self._aligned)
        series = tuple(each.over(view.x_scale) for each in self._wanted())
        note = EMPTY if view.x_scale == "step" else NO_TIMES
        if self._filter:
            note = f"no curve's name contains “{plain_text(self._filter)}”"
        plot = replace(self._plot, series=series, aligned=aligned, view=view, empty_note=note)
        self._show(plot)

    def follow(self, view: View) -> None:
        """Show the steps and the value cursor of another chart's view."""
        mine = self._plot.view
        self.set_view(replace(view, y_is_log=mine.y_is_log, smoothing=mine.smoothing))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Free the keys that move sideways, such as l, while nothing can be moved."""
        if action == "to_end":
            return self._plot.view.cursor is not None
        if action == "sideways":
            return self._plot.view.cursor is not None or self._plot.view.across is not None
        return super().check_action(action, parameters)

    def action_filter(self) -> None:
        """Ask for a text that the names of shown curves contain."""
        from vld_tui.dashboard.widgets.ask import AskLine  # not needed for the first frame

        def answered(text: str | None) -> None:
            if text is not None:
                self._filter = text
                self.set_view(self._plot.view)

        question = AskLine("Show curves whose names contain (empty: all):", answer=self._filter)
        self.app.push_screen(question, answered)

    def action_toggle_log_x(self) -> None:
        """Switch the steps between linear and logarithmic."""
        if self._plot.view.x_scale == "step":
            self._change(x_is_log=not self._plot.view.x_is_log, across=None)

    def action_next_scale(self) -> None:
        """Draw over steps, over the time since the start, or over the time of day."""
        following = X_SCALES.index(self._plot.view.x_scale) + 1
        scale = X_SCALES[following % len(X_SCALES)]
        self._change(x_scale=scale, x_is_log=False, across=None, cursor=None)

    def action_toggle_log_y(self) -> None:
        """Switch the values between linear and logarithmic."""
        self._change(y_is_log=not self._plot.view.y_is_log)

    def action_smooth(self) -> None:
        """Switch to the next degree of smoothing."""
        following = SMOOTHING.index(self._plot.view.smoothing) + 1
        self._change(smoothing=SMOOTHING[following % len(SMOOTHING)])

    def action_zoom_in(self) -> None:
        """Show fewer steps, around the cursor or the middle."""
        across, position = self._plot.across, 0.5
        if (cursor := self._plot.view.cursor) is not None:
            found = float(across.positions(np.array([cursor]))[0])
            position = position if np.isnan(found) else found
        self._zoom(across, 1 / ZOOM, position)

    def action_zoom_out(self) -> None:
        """Show more steps."""
        self._zoom(self._plot.across, ZOOM, 0.5)

    def action_zoom_whole(self) -> None:
        """Show every step."""
        self._change(across=None)

    def action_cursor(self) -> None:
        """Show or hide the value cursor."""
        cursor = self._plot.nearest_step(self._plot.across.high)
        self._change(cursor=cursor if self._plot.view.cursor is None else None)

    def action_sideways(self, direction: int) -> None:
        """Move the cursor to the next step with a value in another column; without a cursor, move
        the zoomed range."""
        plot, cursor = self._plot, self._plot.view.cursor
        if cursor is not None:
            self._change(cursor=plot.next_step(cursor, direction, self.size.width))
        elif plot.view.across is not None:
            self._pan(plot.across.moved(PAN_SHARE * direction))

    def action_to_end(self, direction: int) -> None:
        """Move the cursor to the first or the last visible step with a value."""
        across = self._plot.across
        self._change(cursor=self._plot.nearest_step(across.low if direction < 0 else across.high))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Hold the range at the pointer."""
        if event.button == 1:
            self._grabbed, self._is_dragged = (event.x, self._plot.across), False
            self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Move the held range with the pointer."""
        if self._grabbed is not None:
            start, across = self._grabbed
            self._is_dragged |= event.x != start
            if self._is_dragged:
                self._pan(across.moved((start - event.x) / self._columns))

    def on_mouse_up(self) -> None:
        """Let the range go."""
        self._grabbed = None
        self.release_mouse()

    def on_click(self, event: events.Click) -> None:
        """Show the values of the step at the pointer; on a second click, all steps."""
        if self._is_dragged or event.button != 1:
            return
        if event.chain > 1:
            self._change(across=None, cursor=None)
        else:
            x = self._plot.across.at(self._position(event.x))
            self._change(cursor=self._plot.nearest_step(x))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Show fewer steps, around the pointer."""
        event.stop()
        self._zoom(self._plot.across, 1 / WHEEL_ZOOM, self._position(event.x))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Show more steps, around the pointer."""
        event.stop()
        self._zoom(self._plot.across, WHEEL_ZOOM, self._position(event.x))

    def lines(self, cells: int, rows: int) -> Iterable[Line]:
        """Return the curves at a size."""
        return self._plot.lines(cells, rows)

    @property
    def _columns(self) -> int:
        return max(1, self.size.width - LABEL_CELLS - 1)

    def _position(self, x: int) -> float:
        """Return the position of a column on the axis."""
        return min(1.0, max(0.0, (x - LABEL_CELLS) / self._columns))

    def _zoom(self, across: PlotAxis, share: float, position: float) -> None:
        """Change the visible range by a factor, which keeps the step at a position in place."""
        whole, zoomed = self._plot.whole, across.zoomed(share, position)
        if share < 1 and zoomed.high - zoomed.low < 1:
            return
        low, high = max(zoomed.low, whole.low), min(zoomed.high, whole.high)
        if low < high:
            zoomed = replace(zoomed, low=low, high=high)
            self._change(across=None if zoomed == whole else zoomed)

    def _pan(self, across: PlotAxis) -> None:
        across = across.within(self._plot.whole)
        self._change(across=None if across == self._plot.whole else across)

    def _wanted(self) -> tuple[PlotSeries, ...]:
        """Return the curves that match the filter; bounds, which have no names, are left out."""
        wanted = self._filter.casefold()
        return tuple(each for each in self._all if wanted in each.name.casefold())

    def _change(self, **changes: Any) -> None:
        view = replace(self._plot.view, **changes)
        if view != self._plot.view:
            self.set_view(view)
            self.post_message(self.ViewChanged(self, view))

    def _show(self, plot: Plot) -> None:
        self._plot = plot
        self.redraw()
