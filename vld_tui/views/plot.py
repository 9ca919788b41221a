"""Curves with axes, a legend and a value cursor, as lines of styled text."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from rich.segment import Segment
from rich.style import Style

from vld_tui.runs.curves import Values
from vld_tui.runs.step_times import StepTimes
from vld_tui.views.legend import Entry, Line, legend_lines
from vld_tui.views.raster import BLANK, DOTS_ACROSS, DOTS_DOWN, PlotAxis, draw_curve, smoothed
from vld_tui.views.ticks import Tick, clock_ticks, elapsed_ticks, step_ticks, value_ticks
from vld_tui.words.columns import GAP
from vld_tui.words.numbers import UNKNOWN, duration, moment
from vld_tui.words.palette import (
    DASH_SIGNS,
    MANY_MARKS,
    SELECTED_STYLE,
    SERIES_DASHES,
    SERIES_STYLES,
    SOLID,
)
from vld_tui.words.text import plain_text, shorten

LABEL_CELLS: Final = 7
NARROWEST, LOWEST = 20, 4
"""Size in cells and rows below which only the title is shown."""
GAP_MARK: Final = "×"
"""Marks non-finite values below the curves."""
RULE: Final = "┊"
"""Marks a step, such as the selected one."""
LAST: Final = "last"
"""Indicates that the values shown are those of the last step, not of the marked one."""
EMPTY: Final = "nothing recorded yet"
STEP_NAME: Final = "step {:,}".format
_QUIET: Final = Style(dim=True)
_STRONG: Final = Style(bold=True)
_MARK_CELLS: Final = 8
"""Cells between two marks of a dense curve."""
_FEWEST_ROWS: Final = 5
"""Rows of curves below which the legend has one line."""

StyledCell = tuple[str, Style]
XScale = Literal["step", "elapsed", "clock"]
X_SCALES: Final[tuple[XScale, ...]] = ("step", "elapsed", "clock")
_TICKS: Final[Mapping[XScale, Callable[[PlotAxis, int], list[Tick]]]] = {
    "step": step_ticks,
    "elapsed": elapsed_ticks,
    "clock": clock_ticks,
}


@dataclass(frozen=True)
class PlotSeries:
    """One curve: (n,) steps, ascending, and (n,) values.

    ``style`` is its colour, ``dash`` its line pattern, ``mark`` its sign in the legend, if any.
    ``marked_x`` is a step to mark, such as the selected one. One that ``is_bound`` of another has
    no legend. ``times`` are those of its steps. Of a curve over times, ``x`` and ``marked_x`` are
    seconds, and ``steps`` and ``marked_step`` the steps. ``summary`` is its value in the legend
    without a cursor; empty: the last value.
    """

    name: str
    x: Values
    y: Values
    style: str
    marked_x: float | None = None
    is_bound: bool = False
    dash: tuple[int, ...] = SOLID
    mark: str = ""
    times: StepTimes | None = None
    steps: Values | None = None
    marked_step: float | None = None
    summary: str = ""

    def over(self, scale: XScale) -> PlotSeries:
        """Return the curve over steps, or over times (s); without known times it is empty."""
        if scale == "step":
            return self
        if self.times is None:
            return replace(self, x=self.x[:0], y=self.y[:0], marked_x=None)
        start = self.times.start if scale == "elapsed" else 0.0
        marked = self.marked_x
        if marked is not None:
            marked = float(self.times.at(np.array([marked]))[0]) - start
        x = self.times.at(self.x) - start
        return replace(self, x=x, steps=self.x, marked_x=marked, marked_step=self.marked_x)

    def step_at(self, index: int) -> float:
        """Return the step of a value."""
        return float((self.x if self.steps is None else self.steps)[index])

    def index_at(self, x: float | None) -> int | None:
        """Return the index of the value nearest to ``x``, or of the last; None outside."""
        if len(self.x) == 0 or (x is not None and not self.x[0] <= x <= self.x[-1]):
            return None
        return len(self.x) - 1 if x is None else int(np.abs(self.x - x).argmin())


@dataclass(frozen=True)
class View:
    """The chosen view: ``across`` None: every step; ``cursor``: a step.

    ``x_scale``: over steps, seconds since the start (``elapsed``) or Unix seconds (``clock``).
    """

    across: PlotAxis | None = None
    cursor: float | None = None
    x_is_log: bool = False
    y_is_log: bool = False
    smoothing: float = 0.0
    x_scale: XScale = "step"


@dataclass(frozen=True)
class Plot:
    """Curves that share their axes.

    ``aligned`` are the curves of other charts with the same horizontal axis, and ``length`` the
    number of steps that it shows even if they are not recorded. ``empty_note`` is shown if there is
    no value. ``is_percent``: the values are shares from 0 to 1. ``has_marks``: each curve has a
    mark in addition to its colour; ``is_colourless``: and a line pattern. ``step_name`` names the
    step of the cursor. ``shows_spread``: the lowest, mean and highest value are shown at the
    cursor. ``remark`` follows the title without a cursor.
    """

    title: str
    series: tuple[PlotSeries, ...]
    view: View = View()
    is_percent: bool = False
    has_marks: bool = False
    is_colourless: bool = False
    step_name: Callable[[int], str] = STEP_NAME
    aligned: tuple[PlotSeries, ...] = ()
    length: float | None = None
    empty_note: str = EMPTY
    shows_spread: bool = False
    remark: str = LAST

    @property
    def is_empty(self) -> bool:
        """Return whether there is no value to draw."""
        return not any(len(each.x) for each in self.series)

    @functools.cached_property
    def whole(self) -> PlotAxis:
        """Return the axis of every step, including marked ones."""
        is_log = self.view.x_is_log
        series = (*self.series, *self.aligned)
        known = [each.x if is_log else each.x[[0, -1]] for each in series if len(each.x)]
        known += [np.array([x]) for each in series if (x := each.marked_x) is not None]
        if self.view.x_scale == "elapsed":
            known.append(np.array([0.0]))
        elif self.length is not None and self.view.x_scale == "step":
            known.append(np.array([0.0, max(1.0, self.length)]))
        return PlotAxis.around(known, is_log=is_log)  # steps ascend, but 0 has no logarithm

    @property
    def across(self) -> PlotAxis:
        """Return the axis of the visible steps."""
        return self.view.across or self.whole

    def nearest_step(self, x: float) -> float:
        """Return the visible step nearest to ``x`` at which a curve has a value, if any."""
        found = [float(each.x[at]) for each in self.series for at in self._around(each, x)]
        return min(found, key=lambda step: abs(step - x), default=x)

    def next_step(self, x: float, direction: int, cells: int) -> float:
        """Return the next step with a value, in another column of a picture of ``cells``."""
        columns = cells - LABEL_CELLS - 1
        here = self._column(x, columns)
        found = []
        for each in self.series:
            steps = self._visible(each)
            columns_of = np.round(self.across.positions(steps) * columns)
            found += steps[(columns_of - here) * direction > 0].tolist()
        return min(found, key=lambda step: abs(step - x), default=x)

    def lines(self, cells: int, rows: int) -> Iterator[Line]:
        """Yield the picture: the legend, the curves, the steps."""
        if cells < NARROWEST or rows < LOWEST:
            yield [Segment(shorten(plain_text(self.title), cells), _STRONG)]
            return
        if self.is_empty:
            head = [
                Segment(plain_text(self.title), _STRONG),
                Segment(GAP + self.empty_note, _QUIET),
            ]
            yield from legend_lines(head, (), [], cells, 1)
            return
        weight = self.view.smoothing
        shown = [replace(each, y=smoothed(each.y, weight)) for each in self._apart()]
        legend = self._legend(shown, cells, max(1, (rows - 1 - _FEWEST_ROWS) // 2))
        yield from legend
        yield from self._picture(shown, cells - LABEL_CELLS, rows - 1 - len(legend))
        ticks = _TICKS[self.view.x_scale](self.across, cells - LABEL_CELLS)
        steps = _tick_line(self.across, ticks, cells - LABEL_CELLS)
        yield [Segment(" " * LABEL_CELLS), Segment(steps, _QUIET)]

    def number(self, value: float | None) -> str:
        """Format a value."""
        if value is None or not np.isfinite(value):
            return UNKNOWN
        return f"{100 * value:.1f}%" if self.is_percent else f"{value:.3g}"

    def _apart(self) -> list[PlotSeries]:
        """Return the curves with marks and line patterns if they need them."""
        named = sum(not each.is_bound for each in self.series)
        if not (self.has_marks or (self.is_colourless and named > 1)):
            return list(self.series)
        marks, dashes = itertools.cycle(MANY_MARKS), itertools.cycle(SERIES_DASHES)
        apart = []
        for each in self.series:
            if not each.is_bound:
                dash = next(dashes)
                each = replace(  # noqa: PLW2901
                    each,
                    mark=each.mark or next(marks),
                    dash=dash if self.is_colourless else each.dash,
                )
            apart.append(each)
        return apart

    def _column(self, x: float, columns: int) -> float:
        """Return the column of ``x``; one left of all others if it has no logarithm."""
        position = _position(self.across, x)
        return -1.0 if np.isnan(position) else round(position * columns)

    def _visible(self, series: PlotSeries) -> Values:
        start, stop = np.searchsorted(series.x, [self.across.low, self.across.high])
        stop += int(stop < len(series.x) and series.x[stop] == self.across.high)
        return series.x[start:stop]

    def _around(self, series: PlotSeries, x: float) -> list[int]:
        """Return the indices of the visible values on both sides of ``x``."""
        steps = self._visible(series)
        if len(steps) == 0:
            return []
        first = int(np.searchsorted(series.x, steps[0]))
        at = int(np.searchsorted(steps, x))
        return [first + each for each in {max(0, at - 1), min(len(steps) - 1, at)}]

    def _picture(self, shown: Sequence[PlotSeries], width: int, height: int) -> Iterator[Line]:
        """Yield the curves and the labels of their values."""
        across, up = self.across, self._up(shown)
        canvas = _Canvas(across, up, width, height)
        if self.view.smoothing:
            for each in self.series:
                canvas.draw(replace(each, style=f"dim {each.style}", dash=SOLID), is_behind=True)
        for each in shown:
            canvas.draw(each)
        if self.has_marks or self.is_colourless or len(shown) > len(SERIES_STYLES):
            for each in shown:
                canvas.put_marks(each)
        for column, cell in self._rules(shown, width).items():
            canvas.put_free(slice(None), column, cell)
        for column, cell in _gaps(shown, across, width).items():
            canvas.put_free(slice(-1, None), column, cell)
        labels = self._labels(up, height) if canvas.has_curves else {}
        for row, cells in enumerate(canvas.lines()):
            tick = f"{labels[row]}┤" if row in labels else "│"
            yield [Segment(tick.rjust(LABEL_CELLS), _QUIET), *cells]

    def _up(self, shown: Sequence[PlotSeries]) -> PlotAxis:
        """Return the axis of the visible values."""
        in_sight = []
        for each in (*shown, *(self.series if self.view.smoothing else ())):
            start, stop = np.searchsorted(each.x, [self.across.low, self.across.high])
            in_sight.append(each.y[max(0, start - 1) : stop + 1])
        up = PlotAxis.around(in_sight, is_log=self.view.y_is_log)
        is_flat = all(np.nanmin(y) == np.nanmax(y) for y in in_sight if np.isfinite(y).any())
        return replace(up, high=min(up.high, 1.0)) if self.is_percent and is_flat else up

    def _legend(self, shown: Sequence[PlotSeries], cells: int, most_lines: int) -> list[Line]:
        """Return the title, the state of the view, names and values of curves, the marked step."""
        view, cursor = self.view, self.view.cursor
        remarks = [self.remark if cursor is None else self._cursor_words(shown, cursor)]
        remarks += ["time since the start"] if view.x_scale == "elapsed" and cursor is None else []
        if cursor is not None and not self.across.low <= cursor <= self.across.high:
            remarks.append("cursor out of view")
        remarks += ["log x"] if view.x_is_log else []
        remarks += ["log y"] if view.y_is_log else []
        remarks += [f"smooth {view.smoothing:g}"] if view.smoothing else []
        head = [
            Segment(plain_text(self.title), _STRONG),
            Segment(f"{GAP}{' · '.join(remarks)}", _QUIET),
        ]
        has_dashes = len({each.dash for each in shown if not each.is_bound}) > 1
        entries = [
            Entry(
                (DASH_SIGNS[each.dash] if has_dashes else "") + each.mark,
                self._value_words(each, of),
                plain_text(each.name),
                Style.parse(each.style),
                self._spread_words(of, cells),
            )
            for each, of in zip(shown, self.series, strict=True)
            if not each.is_bound
        ]
        return legend_lines(head, entries, self._selected(shown), cells, most_lines)

    def _steps_at(self, shown: Sequence[PlotSeries], cursor: float) -> set[float]:
        """Return the steps of the values that are shown at the cursor."""
        found = ((each, each.index_at(cursor)) for each in shown if not each.is_bound)
        return {each.step_at(at) for each, at in found if at is not None}

    def _cursor_words(self, shown: Sequence[PlotSeries], cursor: float) -> str:
        """Return the name of the cursor's step or time, and the step of all values if it is
        another."""
        steps = self._steps_at(shown, cursor)
        match self.view.x_scale:
            case "step":
                name = self.step_name(round(cursor))
            case "elapsed":
                name = f"after {duration(cursor)}"
            case "clock":
                name = moment(cursor)
        if len(steps) != 1 or (self.view.x_scale == "step" and steps == {cursor}):
            return name
        return f"{name}, values of {self.step_name(round(steps.pop()))}"

    def _value_words(self, shown: PlotSeries, recorded: PlotSeries) -> str:
        """Return the value at the cursor; the recorded one too if it is smoothed; its step if
        that is neither the cursor's nor that of all curves."""
        cursor = self.view.cursor
        if (at := shown.index_at(cursor)) is None:
            return UNKNOWN
        words = self.number(float(shown.y[at]))
        if cursor is None:
            return shown.summary or words
        if self.view.smoothing and np.isfinite(recorded.y[at]):
            words += f" ({self.number(float(recorded.y[at]))})"
        is_named = self.view.x_scale == "step" and shown.x[at] == cursor
        is_other = not is_named and len(self._steps_at(self.series, cursor)) > 1
        return f"{words} at {shown.step_at(at):,.0f}" if is_other else words

    def _spread_words(self, series: PlotSeries, cells: int) -> str:
        """Return lowest, mean and highest value of the cursor's column if it has several values,
        otherwise of the visible range; empty without a cursor."""
        if (cursor := self.view.cursor) is None or not self.shows_spread:
            return ""
        columns = cells - LABEL_CELLS - 1
        places = np.round(self.across.positions(series.x) * columns)
        here = (places == self._column(cursor, columns)) & np.isfinite(series.y)
        where = f"{int(here.sum())} values here"
        if here.sum() < 2:
            where, here = "in view", (places >= 0) & (places <= columns) & np.isfinite(series.y)
        if here.sum() < 2:
            return ""
        values = series.y[here]
        spread = values.min(), values.mean(), values.max()
        low, mean, high = (self.number(float(each)) for each in spread)
        return f"({where}: min {low} mean {mean} max {high})"

    def _selected(self, shown: Sequence[PlotSeries]) -> Line:
        """Return the words for the visible marked steps, with the step if it is the only one."""
        marked = {
            (each.marked_x, each.marked_x if each.marked_step is None else each.marked_step)
            for each in shown
            if each.marked_x is not None and 0 <= _position(self.across, each.marked_x) <= 1
        }
        if len(marked) > 1:
            return [Segment(f"{RULE} selected steps", _QUIET)]
        words = (f"{RULE} {self.step_name(round(step))} selected" for _, step in marked)
        return [Segment(each, Style.parse(SELECTED_STYLE)) for each in words]

    def _labels(self, up: PlotAxis, rows: int) -> dict[int, str]:
        """Return the labels of the rows."""
        labels: dict[int, str] = {}
        most, cells = max(3, rows // 3), LABEL_CELLS - 1
        for tick, label in value_ticks(up, most, cells, is_percent=self.is_percent):
            labels.setdefault(round((1 - _position(up, tick)) * (rows - 1)), label)
        return labels

    def _rules(self, shown: Sequence[PlotSeries], cells: int) -> dict[int, StyledCell]:
        """Return the columns of vertical lines: marked steps and the cursor."""
        steps = {each.marked_x for each in shown if each.marked_x is not None}
        places = [
            (each.marked_x, RULE, Style.parse(SELECTED_STYLE if len(steps) == 1 else each.style))
            for each in shown
        ]
        places.append((self.view.cursor, "│", _STRONG))
        rules: dict[int, StyledCell] = {}
        for x, character, style in places:
            if x is not None and 0 <= (position := _position(self.across, x)) <= 1:
                rules[round(position * (cells - 1))] = (character, style)
        return rules


class _Canvas:
    """Cells that curves are drawn into, later ones over earlier ones."""

    def __init__(self, across: PlotAxis, up: PlotAxis, cells: int, rows: int) -> None:
        self._axes, self._size = (across, up), (cells, rows)
        self._characters = np.full((rows, cells), ord(" "), dtype=np.int32)
        self._owners = np.zeros((rows, cells), dtype=np.int16)
        self._dots = np.zeros((rows, cells), dtype=np.int32)
        self._behind: set[int] = set()
        self._styles = [Style.null()]

    @property
    def has_curves(self) -> bool:
        """Return whether a dot is drawn."""
        return bool(self._dots.any())

    def draw(self, series: PlotSeries, *, is_behind: bool = False) -> None:
        """Draw a curve; where others cross one that ``is_behind``, it is left out."""
        drawn = draw_curve(series.x, series.y, *self._axes, *self._size, series.dash)
        owner = self._add(series.style)
        if is_behind:
            self._behind.add(owner)
        else:
            is_covered = (drawn != 0) & np.isin(self._owners, list(self._behind))
            self._dots[is_covered] = 0
        self._dots |= drawn
        self._owners[drawn != 0] = owner
        self._characters = np.where(self._dots != 0, BLANK + self._dots, ord(" "))

    def put_marks(self, series: PlotSeries) -> None:
        """Put a curve's mark at its values, or at some of them if there are many."""
        if series.mark and not series.is_bound:
            cells = _marked_cells(series, *self._axes, *self._size)
            self._characters[cells], self._owners[cells] = ord(series.mark), self._add(series.style)

    def put_free(self, rows: slice, column: int, cell: StyledCell) -> None:
        """Put a character into the cells of a column that no curve takes."""
        character, style = cell
        is_free = self._dots[rows, column] == 0
        self._characters[rows, column][is_free] = ord(character)
        self._owners[rows, column][is_free] = self._add(style)

    def lines(self) -> Iterator[Line]:
        """Yield the lines of the picture."""
        for characters, owners in zip(self._characters, self._owners, strict=True):
            text = characters.astype("<u4").tobytes().decode("utf-32-le")
            cuts = [0, *(np.flatnonzero(np.diff(owners)) + 1).tolist(), len(text)]
            yield [
                Segment(text[start:stop], self._styles[owners[start]])
                for start, stop in itertools.pairwise(cuts)
            ]

    def _add(self, style: str | Style) -> int:
        self._styles.append(Style.parse(style) if isinstance(style, str) else style)
        return len(self._styles) - 1


def _gaps(shown: Sequence[PlotSeries], across: PlotAxis, cells: int) -> dict[int, StyledCell]:
    """Return the columns of the lowest row that mark non-finite values."""
    gaps: dict[int, StyledCell] = {}
    for each in shown:
        places = across.positions(each.x[~np.isfinite(each.y)])
        places = places[(places >= 0) & (places <= 1)]
        for column in np.unique(np.round(places * (cells - 1)).astype(int)).tolist():
            gaps[column] = (GAP_MARK, Style.parse(each.style))
    return gaps


def _marked_cells(
    series: PlotSeries, across: PlotAxis, up: PlotAxis, cells: int, rows: int
) -> tuple[npt.NDArray[np.int_], npt.NDArray[np.int_]]:
    """Return the rows and columns of a curve's marks: at its values, or at some of them if there
    are many."""
    places, levels = across.positions(series.x), 1 - up.positions(series.y)
    in_sight = (places >= 0) & (places <= 1) & (levels >= 0) & (levels <= 1)
    columns = np.round(places[in_sight] * (cells * DOTS_ACROSS - 1)).astype(int) // DOTS_ACROSS
    rows_of = np.round(levels[in_sight] * (rows * DOTS_DOWN - 1)).astype(int) // DOTS_DOWN
    if len(columns) > cells // 2:
        _, chosen = np.unique(columns // _MARK_CELLS, return_index=True)
        columns, rows_of = columns[chosen], rows_of[chosen]
    return rows_of, columns


def _position(axis: PlotAxis, value: float) -> float:
    return float(axis.positions(np.array([value]))[0])


def _tick_line(across: PlotAxis, ticks: Sequence[Tick], cells: int) -> str:
    """Return the line of labels below the curves; those that do not fit are left out."""
    line = ""
    for tick, text in ticks:
        middle = round(_position(across, tick) * (cells - 1))
        start = min(max(0, middle - len(text) // 2), cells - len(text))
        if start >= len(line) + bool(line):
            line = line.ljust(start) + text
    return line
