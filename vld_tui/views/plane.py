"""The ID–OOD plane: every run a point, ID accuracy across, OOD accuracy up.

What one gives up on the training domains for what one gains elsewhere is seen at a glance; OOD
accuracy alone hides it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from rich.segment import Segment
from rich.style import Style

from vld_tui.store.runs import RunPoint
from vld_tui.views.numbers import percent, plural
from vld_tui.views.palette import SERIES_MARKS, SERIES_STYLES
from vld_tui.views.plot import LABEL_CELLS, LOWEST, NARROWEST, Cell, Line, join_cells
from vld_tui.views.raster import BLANK, Axis, draw_curve
from vld_tui.views.text import plain_text, shorten

CURRENT_MARK: Final = "◉"
EXPLANATION: Final = "ID across, OOD up · the line: none is better on both"
_QUIET: Final = Style(dim=True)
_STRONG: Final = Style(bold=True)
_ROOM: Final = 0.06


def pareto_front(points: Sequence[RunPoint]) -> list[RunPoint]:
    """Return the points that no other one beats on both accuracies, by rising ID accuracy."""
    front: list[RunPoint] = []
    best = -1.0
    for point in sorted(points, key=lambda p: (-p.id_accuracy, -p.ood_accuracy)):
        if point.ood_accuracy > best:
            best = point.ood_accuracy
            front.append(point)
    return front[::-1]


def plane_lines(
    points: Sequence[RunPoint], *, current: str | None, cells: int, rows: int
) -> Iterator[Line]:
    """Yield the plane; ``current`` is the run the cursor stands on."""
    if cells < NARROWEST or rows < LOWEST or not points:
        yield [Segment(shorten("ID–OOD plane: no run was evaluated yet", cells), _QUIET)]
        return
    ids = np.array([point.id_accuracy for point in points])
    oods = np.array([point.ood_accuracy for point in points])
    across, up = Axis.around([ids]).widened(_ROOM), Axis.around([oods]).widened(_ROOM)
    width, height = cells - LABEL_CELLS, rows - 3
    yield _legend(points, current, cells)
    canvas = _canvas(points, across, up, width, height)
    rates = sorted({point.dropout_rate for point in points})
    columns = np.round(across.positions(ids) * (width - 1)).astype(int)
    lines = np.round((1 - up.positions(oods)) * (height - 1)).astype(int)
    order = sorted(range(len(points)), key=lambda index: points[index].run_id == current)
    for index in order:
        kind = rates.index(points[index].dropout_rate) % len(SERIES_MARKS)
        is_current = points[index].run_id == current
        mark = CURRENT_MARK if is_current else SERIES_MARKS[kind]
        style = Style.parse(SERIES_STYLES[kind]) + (_STRONG if is_current else Style.null())
        canvas[lines[index]][columns[index]] = (mark, style)
    labels = {
        round((1 - float(up.positions(np.array([tick]))[0])) * (height - 1)): tick
        for tick in up.ticks(max(2, height // 3))
    }
    for row, line in enumerate(canvas):
        text = f"{100 * labels[row]:.0f}%┤" if row in labels else "│"
        yield [Segment(text.rjust(LABEL_CELLS), _QUIET), *join_cells(line)]
    yield [Segment(" " * LABEL_CELLS + _percents(across, width), _QUIET)]
    yield [Segment(shorten(EXPLANATION, cells).rjust(cells), _QUIET)]


def _canvas(
    points: Sequence[RunPoint], across: Axis, up: Axis, width: int, height: int
) -> list[list[Cell]]:
    """Return the cells with the front and, where it is in sight, the diagonal ID = OOD."""
    blank: Cell = (" ", Style.null())
    canvas = [[blank] * width for _ in range(height)]
    ends = np.array([across.low, across.high])
    front = pareto_front(points)
    steps = [(p.id_accuracy, p.ood_accuracy) for p in front]
    for x, y, style in (
        (ends, ends, Style(dim=True, color="grey50")),
        (np.array([s[0] for s in steps]), np.array([s[1] for s in steps]), Style(color="grey70")),
    ):
        dots = draw_curve(x, y, across, up, width, height)
        for row, column in zip(*(each.tolist() for each in np.nonzero(dots)), strict=True):
            canvas[row][column] = (chr(BLANK + int(dots[row, column])), style)
    return canvas


def _legend(points: Sequence[RunPoint], current: str | None, cells: int) -> Line:
    line = [Segment("ID–OOD plane", _STRONG), Segment(f"  {plural(len(points), 'run')}", _QUIET)]
    for kind, rate in enumerate(sorted({point.dropout_rate for point in points})):
        text = f"  {SERIES_MARKS[kind % len(SERIES_MARKS)]} λ {rate:g}"
        line.append(Segment(text, Style.parse(SERIES_STYLES[kind % len(SERIES_MARKS)])))
    for point in points:
        if point.run_id == current:
            taken = sum(segment.cell_length for segment in line)
            figures = f"ID {percent(point.id_accuracy)} OOD {percent(point.ood_accuracy)}"
            text = f"  {CURRENT_MARK} {figures} {plain_text(point.name)}"
            line.append(Segment(shorten(text, max(0, cells - taken)), _STRONG))
    return line


def _percents(across: Axis, cells: int) -> str:
    line = ""
    for tick in across.ticks(max(2, cells // 12)):
        start = round(float(across.positions(np.array([tick]))[0]) * (cells - 1)) - 1
        if start >= len(line) + bool(line):
            line = line.ljust(start) + f"{100 * tick:.0f}%"
    return line
