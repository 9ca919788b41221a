"""The plane of ID and OOD accuracy, with the front of the best runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Literal

import numpy as np
from rich.segment import Segment
from rich.style import Style

from engine.protocol import MEASURES, measures_in
from engine.protocol.evaluated import BALANCED, Unit
from vld_tui.runs.curves import Values
from vld_tui.runs.run import RunPoint
from vld_tui.views.legend import Line
from vld_tui.views.plot import LABEL_CELLS, LOWEST, NARROWEST, StyledCell
from vld_tui.views.raster import BLANK, PlotAxis, draw_curve
from vld_tui.views.ticks import value_ticks
from vld_tui.words.numbers import balanced_words, in_unit, plural
from vld_tui.words.palette import LIGHT_GREY, MANY_MARKS, SERIES_STYLES
from vld_tui.words.text import folded, plain_text, shorten, width

TargetDomain = tuple[str, str]
"""A data set and the domain left out of training."""
Position = tuple[int, int]
"""A row and a column of the picture."""
Colouring = Literal["dropout_rate", "arm", "target", "model", "setting"]
COLOURINGS: Final[tuple[Colouring, ...]] = ("dropout_rate", "arm", "target", "model")
"""What the marks can stand for, in cycling order."""
Trail = tuple[Values, Values]
"""ID and OOD accuracies of a run over its evaluations, (n,) each."""

NO_RUNS: Final = "no evaluated runs yet"
NO_GROUPS: Final = "no group has a finished run yet; groups count finished runs only"
CURRENT_MARK: Final = "◉"
AXES: Final = "ID across, OOD up"
_QUIET: Final = Style(dim=True)
_STRONG: Final = Style(bold=True)
_FRONT: Final = Style(color=LIGHT_GREY)
_TRAIL: Final = Style(color="grey50")
_ROOM: Final = 0.06
_CURSOR: Final = Style(bold=True, reverse=True)
_BELOW_ROWS: Final = 1
"""Rows of the ticks, in addition to those of the explanation."""
_MOST_KEY_SHARE: Final = 3
"""The key takes at most one of so many rows."""
_MOST_FOOT_SHARE: Final = 6
"""The explanation takes at most one of so many rows."""
_ASIDE: Final = 2
"""How much more a distance across the direction of a key counts than along it."""
_MARK_CELLS: Final = 2
MOST_FRONTS: Final = 6
"""Maximum number of fronts to draw; of more, only that of the current run is drawn."""
FRONT_LABEL_CELLS: Final = 20
LABEL_STYLE: Final = Style(dim=True, italic=True)


def fronts(
    points: Iterable[RunPoint], current: str | None, *, higher_is_better: bool = True
) -> dict[TargetDomain, list[RunPoint]]:
    """Return the front of each target, or only that of the current run if there are many.

    Means over several targets belong to none.
    """
    of_target: dict[TargetDomain, list[RunPoint]] = {}
    chosen: TargetDomain | None = None
    for point in points:
        if point.dataset is not None and point.target is not None:
            target = (point.dataset, point.target)
            of_target.setdefault(target, []).append(point)
            chosen = target if point.run_id == current else chosen
    if len(of_target) > MOST_FRONTS:
        of_target = {target: each for target, each in of_target.items() if target == chosen}
    return {
        target: pareto_front(each, higher_is_better=higher_is_better)
        for target, each in of_target.items()
    }


def pareto_front(points: Sequence[RunPoint], *, higher_is_better: bool = True) -> list[RunPoint]:
    """Return the points that no other beats on both accuracies, by increasing ID accuracy."""
    sign = 1 if higher_is_better else -1
    front: list[RunPoint] = []
    best = -math.inf
    for point in sorted(points, key=lambda p: (-sign * p.id_accuracy, -sign * p.ood_accuracy)):
        if sign * point.ood_accuracy > best:
            best = sign * point.ood_accuracy
            front.append(point)
    return front[::-sign]


def target_names(points: Iterable[RunPoint]) -> dict[TargetDomain, str]:
    """Return the names of fronts, with their data sets if there are several."""
    targets = {(p.dataset, p.target) for p in points if p.dataset is not None and p.target}
    is_one = len({dataset for dataset, _ in targets}) == 1
    return {
        (dataset, target): plain_text(target if is_one else f"{dataset} → {target}")
        for dataset, target in targets
    }


def write_label(canvas: list[list[StyledCell]], front: Sequence[Position], name: str) -> None:
    """Write a front's name next to one of its points, in free cells."""
    text = shorten(name, FRONT_LABEL_CELLS)
    cells = width(text)
    for row, start in _free_positions(canvas, front, cells + 2):
        canvas[row][start + 1] = (text, LABEL_STYLE)
        for column in range(start + 2, start + 1 + cells):
            canvas[row][column] = ("", LABEL_STYLE)
        return


def _free_positions(
    canvas: list[list[StyledCell]], front: Sequence[Position], cells: int
) -> Iterator[Position]:
    """Yield free cells next to the points of a front; those in its own rows come first."""
    for down in (0, -1, 1):
        for row, column in front:
            for start in (column + 1, column - cells):
                if (
                    0 <= row + down < len(canvas)
                    and 0 <= start <= len(canvas[0]) - cells
                    and all(text == " " for text, _ in canvas[row + down][start : start + cells])
                ):
                    yield row + down, start


@dataclass(frozen=True)
class PlanePlot:
    """Runs as points; ``current`` is the run under the cursor, ``trail`` its path.

    ``without_ood`` runs have no point: they were trained without a target. ``total``: number of
    all points, if these are only the ``what``. ``measure``: that of the axes; None: accuracy.
    ``nothing``: why there are no points.
    """

    points: tuple[RunPoint, ...] = ()
    current: str | None = None
    colouring: Colouring = "dropout_rate"
    trail: Trail | None = None
    without_ood: int = 0
    total: int = 0
    what: str = "newest runs"
    measure: str | None = None
    nothing: str = NO_RUNS

    @classmethod
    def measures_of(cls, points: Iterable[RunPoint]) -> list[str]:
        """Return the measures that the axes can show."""
        known = measures_in(dict(point.measures) for point in points)
        return [name for name in known if not MEASURES[name].is_of_target]

    def by_measure(self, name: str | None) -> PlanePlot:
        """Return the plane of a measure, with the points that have it; None: unchanged."""
        if name is None:
            return self
        points = (point.measured(name) for point in self.points)
        known = tuple(point for point in points if point is not None)
        return replace(self, points=known, trail=None, measure=name)

    def lines(self, cells: int, rows: int) -> Iterator[Line]:
        """Yield the picture in ``cells`` columns and ``rows`` rows."""
        if cells < NARROWEST or rows < LOWEST or not self.points:
            said = "too small to draw" if self.points else self.nothing
            said = self._left_out if self.without_ood and not self.points else said
            yield [Segment(shorten(f"ID–OOD plane: {said}", cells), _QUIET)]
            return
        across, up = self._axes
        head, foot, height = self._layout(cells, rows)
        width = cells - LABEL_CELLS
        yield from head
        is_percent = self._unit == "share"
        ticks = value_ticks(up, max(2, height // 3), LABEL_CELLS - 1, is_percent=is_percent)
        labels = {
            round((1 - float(up.positions(np.array([tick]))[0])) * (height - 1)): label
            for tick, label in ticks
        }
        for row, line in enumerate(self._canvas(width, height)):
            text = f"{labels[row]}┤" if row in labels else "│"
            yield [Segment(text.rjust(LABEL_CELLS), _QUIET), *_joined(line)]
        yield [Segment(" " * LABEL_CELLS + _across(across, width, is_percent=is_percent), _QUIET)]
        for said in foot:
            yield [Segment(said.rjust(cells), _QUIET)]

    def _layout(self, cells: int, rows: int) -> tuple[list[Line], list[str], int]:
        """Return the lines above and below the picture, and its height."""
        head, foot = self._head(cells, rows), self._foot(cells, rows)
        height = rows - len(head) - len(foot) - _BELOW_ROWS
        if height < 1:
            head, foot = head[:1], foot[:1]
            height = max(1, rows - 2 - _BELOW_ROWS)
        return head, foot, height

    def _foot(self, cells: int, rows: int) -> list[str]:
        """Return the explanation in as many lines as it takes, if there is room for them."""
        said = f"{self._left_out} · " if self.without_ood else ""
        lines = folded(said + self.explanation, cells)
        most = max(1, rows // _MOST_FOOT_SHARE)
        if len(lines) <= most:
            return lines
        return [*lines[: most - 1], shorten(" ".join(lines[most - 1 :]), cells)]

    def nearest(self, x: int, y: int, cells: int, rows: int) -> RunPoint | None:
        """Return the point nearest to a cell of the picture."""
        if cells <= LABEL_CELLS or rows < LOWEST or not self.points:
            return None
        head, _foot, height = self._layout(cells, rows)
        columns, lines = self._positions(cells - LABEL_CELLS, height)
        # A cell is about twice as high as it is wide.
        distance = (columns + LABEL_CELLS - x) ** 2 + (2 * (lines + len(head) - y)) ** 2
        return self.points[int(distance.argmin())]

    def neighbour(self, *, by_ood: bool, step: int, cells: int, rows: int) -> RunPoint | None:
        """Return the nearest point in a direction, as one sees it at a size of the picture.

        ``step`` is 1 for a higher accuracy, −1 for a lower one. Without a current point it is the
        one with the lowest ID accuracy. Points at the same place follow each other by their ids.
        """
        at = next((i for i, each in enumerate(self.points) if each.run_id == self.current), None)
        if at is None:
            return min(self.points, key=lambda each: each.id_accuracy, default=None)
        cells = max(cells, NARROWEST)
        _head, _foot, height = self._layout(cells, max(rows, LOWEST))
        width = cells - LABEL_CELLS
        across, up = self._axes
        ids, oods = _accuracies(self.points)
        x, y = across.positions(ids) * (width - 1), 2 * up.positions(oods) * (height - 1)
        along, aside = (y - y[at], x - x[at]) if by_ood else (x - x[at], y - y[at])
        along = along * step
        ids_of = [each.run_id for each in self.points]
        same = (along == 0) & (aside == 0)
        follows = np.array([(each > ids_of[at]) == (step > 0) for each in ids_of])
        follows[at] = False
        allowed = (along > 0) | (same & follows)
        if not allowed.any():
            return self.points[at]
        # Points at the same place come in the order of their ids.
        order = np.argsort(np.argsort(ids_of)) * step
        distance = along**2 + (_ASIDE * aside) ** 2
        score = np.where(allowed, distance, np.inf)
        found = np.flatnonzero(score == score.min())
        return self.points[int(found[order[found].argmin()])]

    def kind(self, point: RunPoint) -> str:
        """Return what the mark of a point stands for, as text."""
        value = getattr(point, self.colouring)
        if value is None:
            return "mixed"
        return f"λ {value:g}" if isinstance(value, float) else str(value)

    @cached_property
    def kinds(self) -> list[str]:
        """Return what marks stand for, in order."""
        known = {getattr(point, self.colouring) for point in self.points}
        ordered = sorted(known - {None}) + ([None] if None in known else [])
        first = {getattr(point, self.colouring): self.kind(point) for point in self.points}
        return [first[value] for value in ordered]

    @property
    def explanation(self) -> str:
        """Return the explanation of axes and lines."""
        names, drawn = self._target_names, [self._target_names[target] for target in self._fronts]
        axes = f"{AXES}{self._augmented}"
        if self.measure is not None:
            name = self.measure.replace("_", " ")
            axes = f"{AXES}: {name}{' (lower is better)' if self._direction is False else ''}"
        lines = ["ID = OOD (diagonal)"] if self._shows_diagonal else []
        if drawn:
            of = f" of {drawn[0]}" if len(drawn) == 1 < len(names) else ""
            of = " of each target" if len(drawn) > 1 else of
            front = "front" if len(drawn) == 1 else "fronts"
            lines.append(f"Pareto {front}{of} (no run is better on both)")
        if self.trail is not None:
            lines.append("path of the selected run over its evaluations")
        said = f"{axes} · lines: {', '.join(lines)}" if lines else axes
        return (
            said
            if drawn or not names or self._direction is None
            else f"{said} · select a run to see its Pareto front"
        )

    @property
    def _shows_diagonal(self) -> bool:
        """Return whether ID = OOD is in the picture."""
        across, up = self._axes
        return max(across.low, up.low) < min(across.high, up.high)

    @property
    def _augmented(self) -> str:
        """Return how many ID accuracies are of augmented images; empty for none."""
        count = sum(point.is_augmented for point in self.points)
        if count == 0:
            return ""
        whose = "" if count == len(self.points) else f" of {plural(count, 'point')}"
        return f" · ID{whose} on augmented images"

    @property
    def _direction(self) -> bool | None:
        """Return whether higher is better; None: neither direction is."""
        return self.measure is None or MEASURES[self.measure].higher_is_better

    @property
    def _unit(self) -> Unit:
        """Return the unit of the axes."""
        return "share" if self.measure is None else MEASURES[self.measure].unit

    @property
    def _left_out(self) -> str:
        """Return the number of runs without a point, as text."""
        return f"{plural(self.without_ood, 'run')} without OOD"

    @cached_property
    def _fronts(self) -> dict[TargetDomain, list[RunPoint]]:
        if self._direction is None:
            return {}
        return fronts(self.points, self.current, higher_is_better=self._direction)

    @cached_property
    def _target_names(self) -> dict[TargetDomain, str]:
        return target_names(self.points)

    @cached_property
    def _axes(self) -> tuple[PlotAxis, PlotAxis]:
        ids, oods = _accuracies(self.points)
        return PlotAxis.around([ids]).widened(_ROOM), PlotAxis.around([oods]).widened(_ROOM)

    def _positions(self, width: int, height: int) -> tuple[Values, Values]:
        """Return the column and the row of every point."""
        across, up = self._axes
        ids, oods = _accuracies(self.points)
        columns = np.round(across.positions(ids) * (width - 1))
        return columns, np.round((1 - up.positions(oods)) * (height - 1))

    def _canvas(self, width: int, height: int) -> list[list[StyledCell]]:
        """Return the cells: the diagonal ID = OOD if visible, the fronts, the trail of the
        current run, the points with the current one on top, the names of the fronts."""
        across, up = self._axes
        blank: StyledCell = (" ", Style.null())
        canvas = [[blank] * width for _ in range(height)]
        ends = np.array([across.low, across.high])
        lines = [(*_accuracies(front), _FRONT) for front in self._fronts.values()]
        for x, y, style in ((ends, ends, _QUIET), *lines, *_steps(self.trail)):
            dots = draw_curve(x, y, across, up, width, height)
            for row, column in zip(*(each.tolist() for each in np.nonzero(dots)), strict=True):
                canvas[row][column] = (chr(BLANK + int(dots[row, column])), style)
        columns, rows = (each.astype(int).tolist() for each in self._positions(width, height))
        order = sorted(range(len(self.points)), key=self._is_current)
        for at in order:
            kind = self.kinds.index(self.kind(self.points[at]))
            mark = CURRENT_MARK if self._is_current(at) else MANY_MARKS[kind % len(MANY_MARKS)]
            style = Style.parse(SERIES_STYLES[kind % len(SERIES_STYLES)])
            canvas[rows[at]][columns[at]] = (mark, _CURSOR if self._is_current(at) else style)
        if len(self._target_names) > 1:
            position_of = dict(zip(self.points, zip(rows, columns, strict=True), strict=True))
            for target, front in self._fronts.items():
                positions = [position_of[point] for point in reversed(front)]
                write_label(canvas, positions, self._target_names[target])
        return canvas

    def _is_current(self, at: int) -> bool:
        return self.points[at].run_id == self.current

    def _head(self, cells: int, rows: int) -> list[Line]:
        """Return the number of points, the key to the marks, and the current point."""
        line: Line = [Segment("ID–OOD plane", _STRONG), Segment(f"  {self._count}", _QUIET)]
        lines, taken = [line], sum(segment.cell_length for segment in line)
        most, left = max(1, rows // _MOST_KEY_SHARE), len(self.kinds)
        for at, kind in enumerate(self.kinds):
            text = f"  {MANY_MARKS[at % len(MANY_MARKS)]} {plain_text(kind)}"
            more = f"  … {left} more" if left > 1 else ""
            is_last_line = len(lines) == most
            if taken + width(text) + (width(more) if is_last_line else 0) > cells:
                if is_last_line:
                    lines[-1].append(Segment(shorten(f"  … {left} more", cells - taken), _QUIET))
                    break
                lines.append([])
                taken = 0
            lines[-1].append(Segment(text, Style.parse(SERIES_STYLES[at % len(SERIES_STYLES)])))
            taken, left = taken + width(text), left - 1
        current = next((each for each in self.points if each.run_id == self.current), None)
        if current is not None:
            lines.append([Segment(self._words(current, cells), _STRONG)])
        return lines

    @property
    def _count(self) -> str:
        """Return the number of points, and of how many."""
        count = plural(len(self.points), "point")
        if self.total <= len(self.points):
            return count
        return f"{len(self.points):,} of {self.total:,} points: the {self.what}"

    def _words(self, point: RunPoint, cells: int) -> str:
        """Return a point's accuracies and its name, which is cut first."""
        of = f" {MEASURES[self.measure].label}" if self.measure else ""
        ids, oods = (in_unit(x, self._unit) for x in (point.id_accuracy, point.ood_accuracy))
        figures = f"ID{of} {ids} OOD{of} {oods}"
        beside = dict(point.measures).get(BALANCED, (None, None))
        if self.measure is None and (balanced := balanced_words(beside)):
            longer = f"{figures} {balanced}"
            figures = longer if width(longer) + _MARK_CELLS <= cells else figures
        return shorten(f"{CURRENT_MARK} {figures}  {plain_text(point.name)}", cells)


def _joined(cells: Sequence[StyledCell]) -> Line:
    """Join neighbours of the same style."""
    return [
        Segment("".join(character for character, _ in group), style)
        for style, group in itertools.groupby(cells, key=lambda cell: cell[1])
    ]


def _accuracies(points: Sequence[RunPoint]) -> tuple[Values, Values]:
    """Return the ID and the OOD accuracies of points."""
    ids = np.array([point.id_accuracy for point in points])
    return ids, np.array([point.ood_accuracy for point in points])


def _steps(trail: Trail | None) -> Iterator[tuple[Values, Values, Style]]:
    """Yield each step of a trail as a separate line, since it may reverse."""
    if trail is None:
        return
    ids, oods = trail
    known = np.isfinite(ids) & np.isfinite(oods)
    positions = np.stack([ids[known], oods[known]])
    for at in range(positions.shape[1] - 1):
        pair = positions[:, at : at + 2]
        pair = pair[:, np.argsort(pair[0], kind="stable")]
        yield pair[0], pair[1], _TRAIL


def _across(across: PlotAxis, cells: int, *, is_percent: bool) -> str:
    line = ""
    for tick, label in value_ticks(across, max(2, cells // 12), LABEL_CELLS, is_percent=is_percent):
        start = round(float(across.positions(np.array([tick]))[0]) * (cells - 1)) - 1
        start = min(start, cells - len(label))
        if start >= len(line) + bool(line):
            line = line.ljust(start) + label
    return line
