"""Curves with axes, a legend and a value cursor, as lines of styled text."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
from rich.segment import Segment
from rich.style import Style

from vld_tui.runs.curves import Values
from vld_tui.views.raster import BLANK, DOTS_ACROSS, DOTS_DOWN, PlotAxis, draw_curve, smoothed
from vld_tui.words.columns import GAP
from vld_tui.words.numbers import UNKNOWN
from vld_tui.words.palette import SERIES_MARKS
from vld_tui.words.text import plain_text, shorten, width

LABEL_CELLS: Final = 7
NARROWEST, LOWEST = 20, 4
"""Size in cells and rows below which only the title is shown."""
GAP_MARK: Final = "×"
"""Marks non-finite values below the curves."""
RULE: Final = "┊"
"""Marks a step, such as the selected one."""
LAST: Final = "last"
"""Indicates that the values shown are those of the last step, not of the marked one."""
TALL: Final = 9
"""Height from which the legend may take a second line."""
_QUIET: Final = Style(dim=True)
_STRONG: Final = Style(bold=True)
_SHORTEST_LEGEND: Final = 6
_MARK_CELLS: Final = 8
"""Cells between two marks of a dense curve."""

Line = list[Segment]
StyledCell = tuple[str, Style]


@dataclass(frozen=True)
class PlotSeries:
    """One curve: (n,) steps, ascending, and (n,) values; ``style`` is its colour.

    ``marked_x`` is a step to mark, such as the selected one. One that ``is_bound`` of another has
    no legend.
    """

    name: str
    x: Values
    y: Values
    style: str
    marked_x: float | None = None
    is_bound: bool = False

    def value_at(self, x: float | None) -> float | None:
        """Return the value of the step nearest to ``x``, or of the last; None: not finite."""
        if len(self.x) == 0:
            return None
        nearest = len(self.x) - 1 if x is None else int(np.abs(self.x - x).argmin())
        value = float(self.y[nearest])
        return value if np.isfinite(value) else None


@dataclass(frozen=True)
class View:
    """The chosen view: ``across`` None: every step; ``cursor``: a step."""

    across: PlotAxis | None = None
    cursor: float | None = None
    x_is_log: bool = False
    y_is_log: bool = False
    smoothing: float = 0.0


@dataclass(frozen=True)
class Plot:
    """Curves that share their axes.

    ``is_percent``: the values are shares from 0 to 1. ``has_marks``: each curve has a mark in
    addition to its colour. ``step_name`` names the step of the cursor.
    """

    title: str
    series: tuple[PlotSeries, ...]
    view: View = View()
    is_percent: bool = False
    has_marks: bool = False
    step_name: Callable[[int], str] = "step {:,}".format

    @functools.cached_property
    def whole(self) -> PlotAxis:
        """Return the axis of every step, including marked ones."""
        is_log = self.view.x_is_log
        known = [each.x if is_log else each.x[[0, -1]] for each in self.series if len(each.x)]
        known += [np.array([x]) for each in self.series if (x := each.marked_x) is not None]
        return PlotAxis.around(known, is_log=is_log)  # steps ascend, but 0 has no logarithm

    @property
    def across(self) -> PlotAxis:
        """Return the axis of the visible steps."""
        return self.view.across or self.whole

    def lines(self, cells: int, rows: int) -> Iterator[Line]:
        """Yield the picture: the legend, the curves, the steps."""
        if cells < NARROWEST or rows < LOWEST:
            yield [Segment(shorten(plain_text(self.title), cells), _STRONG)]
            return
        weight = self.view.smoothing
        shown = [replace(each, y=smoothed(each.y, weight)) for each in self.series]
        legend = list(self._legend(shown, cells, 2 if rows >= TALL else 1))
        across, width, height = self.across, cells - LABEL_CELLS, rows - 1 - len(legend)
        up = self._up(shown, across)
        dots = np.zeros((height, width), dtype=np.int32)
        owner = np.zeros((height, width), dtype=np.int16)
        for index, each in enumerate(shown, start=1):
            drawn = draw_curve(each.x, each.y, across, up, width, height)
            dots |= drawn
            owner[drawn != 0] = index
        characters = np.where(dots != 0, BLANK + dots, ord(" "))
        for index, (each, mark) in enumerate(zip(shown, self._marks(shown), strict=True), start=1):
            if mark:
                marked = _marked_cells(each, across, up, width, height)
                characters[marked], owner[marked] = ord(mark[0]), index
        is_free = owner == 0
        styles = [Style.null(), *(Style.parse(each.style) for each in shown)]
        labels, rules = self._labels(up, height), self._rules(shown, across, width)
        yield from legend
        for column, (character, style) in rules.items():
            characters[is_free[:, column], column] = ord(character)
            owner[is_free[:, column], column] = len(styles)
            styles.append(style)
        for column, (character, style) in _gaps(shown, across, width).items():
            if is_free[-1, column]:
                characters[-1, column] = ord(character)
                owner[-1, column] = len(styles)
                styles.append(style)
        for row, owners in enumerate(owner):
            text = characters[row].astype("<u4").tobytes().decode("utf-32-le")
            tick = f"{labels[row]}┤" if row in labels else "│"
            yield [Segment(tick.rjust(LABEL_CELLS), _QUIET), *_row(text, owners, styles)]
        yield [Segment(" " * LABEL_CELLS), Segment(_steps(across, width), _QUIET)]

    def number(self, value: float | None, digits: int = 1) -> str:
        """Format a value as on its axis."""
        if value is None:
            return UNKNOWN
        return f"{100 * value:.{digits}f}%" if self.is_percent else f"{value:.3g}"

    def _up(self, shown: Sequence[PlotSeries], across: PlotAxis) -> PlotAxis:
        """Return the axis of the visible values."""
        in_sight = []
        for each in shown:
            start, stop = np.searchsorted(each.x, [across.low, across.high])
            in_sight.append(each.y[max(0, start - 1) : stop + 1])
        return PlotAxis.around(in_sight, is_log=self.view.y_is_log)

    def _legend(self, shown: Sequence[PlotSeries], cells: int, most_lines: int) -> Iterator[Line]:
        """Yield the title, the state of the view, the curves' names with their values, and the
        marked step if it fits."""
        view = self.view
        remarks = (
            [LAST if view.cursor is None else self.step_name(round(view.cursor))] if shown else []
        )
        remarks += ["log x"] if view.x_is_log else []
        remarks += ["log y"] if view.y_is_log else []
        remarks += [f"smooth {view.smoothing:g}"] if view.smoothing else []
        line = [Segment(plain_text(self.title), _STRONG)]
        if remarks:
            line.append(Segment(f"  {' · '.join(remarks)}", _QUIET))
        entries = []
        for each, mark in zip(shown, self._marks(shown), strict=True):
            if not each.is_bound:
                value = self.number(each.value_at(view.cursor))
                entries.append((f"{mark}{value} {plain_text(each.name)}", each.style))
        taken = _width(line)
        needed = sum(width(text) + len(GAP) for text, _ in entries)
        room = max(_SHORTEST_LEGEND, (cells * most_lines - taken) // max(1, len(entries)) - 2)
        for text, style in entries:
            entry = text if taken + needed <= cells else shorten(text, room)
            if most_lines > 1 and _width(line) + len(GAP) + width(entry) > cells:
                yield line
                line, most_lines = [Segment(" ")], most_lines - 1
            line.append(Segment(GAP + entry, Style.parse(style)))
        if (mark := self._mark(shown)) and _width(line) + len(mark) <= cells:
            line.append(Segment(mark, _QUIET))
        yield line

    def _marks(self, shown: Sequence[PlotSeries]) -> Iterator[str]:
        """Yield the mark of each curve and a space; empty for none."""
        marks = itertools.cycle(SERIES_MARKS)
        for each in shown:
            yield f"{next(marks)} " if self.has_marks and not each.is_bound else ""

    def _mark(self, shown: Sequence[PlotSeries]) -> str:
        """Return the marked step, if it is the only one and visible."""
        marked = {each.marked_x for each in shown if each.marked_x is not None}
        if len(marked) != 1:
            return ""
        (step,) = marked
        is_in_sight = 0 <= _position(self.across, step) <= 1
        return f"{GAP}{RULE} {step:,.0f}" if is_in_sight else ""

    def _labels(self, up: PlotAxis, rows: int) -> dict[int, str]:
        """Return the labels of the rows."""
        labels: dict[int, str] = {}
        for tick in up.ticks(max(3, rows // 3)):
            labels.setdefault(round((1 - _position(up, tick)) * (rows - 1)), self.number(tick, 0))
        return labels

    def _rules(
        self, shown: Sequence[PlotSeries], across: PlotAxis, cells: int
    ) -> dict[int, StyledCell]:
        """Return the columns of vertical lines: marked steps and the cursor."""
        places = [(each.marked_x, RULE, Style.parse(each.style) + _QUIET) for each in shown]
        places.append((self.view.cursor, "│", _STRONG))
        rules: dict[int, StyledCell] = {}
        for x, character, style in places:
            if x is not None and 0 <= (position := _position(across, x)) <= 1:
                rules[round(position * (cells - 1))] = (character, style)
        return rules


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


def _width(line: Line) -> int:
    return sum(segment.cell_length for segment in line)


def _position(axis: PlotAxis, value: float) -> float:
    return float(axis.positions(np.array([value]))[0])


def _row(text: str, owners: npt.NDArray[np.int16], styles: Sequence[Style]) -> Line:
    """Return a row of characters, each in the style of its owner."""
    cuts = [0, *(np.flatnonzero(np.diff(owners)) + 1).tolist(), len(text)]
    return [
        Segment(text[start:stop], styles[owners[start]]) for start, stop in itertools.pairwise(cuts)
    ]


def join_cells(cells: Sequence[StyledCell]) -> Line:
    """Join neighbours of the same style."""
    return [
        Segment("".join(character for character, _ in group), style)
        for style, group in itertools.groupby(cells, key=lambda cell: cell[1])
    ]


def _steps(across: PlotAxis, cells: int) -> str:
    """Return the line of steps below the curves; those that do not fit are left out."""
    line = ""
    for tick in across.ticks(max(2, cells // 12)):
        text = f"{tick:,.0f}" if tick >= 1 or tick == 0 else f"{tick:g}"
        middle = round(_position(across, tick) * (cells - 1))
        start = min(max(0, middle - len(text) // 2), cells - len(text))
        if start >= len(line) + bool(line):
            line = line.ljust(start) + text
    return line
