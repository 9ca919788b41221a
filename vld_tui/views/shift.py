"""Drawings of how far a target is: risk–coverage curves, and distances as a heat map."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import numpy as np
from rich.segment import Segment

from engine.protocol.diagnostics import Cell, Diagnosis, FindingTable
from vld_tui.views.heat_colours import heat_style
from vld_tui.views.legend import Line
from vld_tui.views.plot import Plot, PlotSeries
from vld_tui.views.richness import NO_CURVES, drawn_lines, number_in, numbers_in
from vld_tui.words.numbers import decimal
from vld_tui.words.palette import SERIES_DASHES, series_look
from vld_tui.words.text import fit, plain_text, width

AREA: Final = "risk–coverage area"
"""Column of the area below the curve, in the table of scores."""
MOST_NAME_CELLS: Final = 14
_LEAST_CELLS: Final = 6


def risk_coverage_plot(table: FindingTable, areas: Mapping[str, float]) -> Plot:
    """Return the error rate against the share of images kept (%), a curve for each score.

    Args:
        table: shares of images kept, and a column for each score.
        areas: area below each curve, by score.
    """
    kept = 100 * np.array(numbers_in(table, 0))
    series = []
    for at, name in enumerate(table.columns[1:], start=1):
        risks = np.array(numbers_in(table, at))
        area = areas.get(name)
        look = series_look(at - 1)
        series.append(
            PlotSeries(
                plain_text(name),
                kept if len(risks) == len(kept) else kept[:0],
                risks if len(risks) == len(kept) else risks[:0],
                look.colour,
                dash=SERIES_DASHES[(at - 1) % len(SERIES_DASHES)],
                mark=look.mark,
                summary="" if area is None else f"area {decimal(area)}",
            )
        )
    return Plot(
        "error rate by images kept (%)",
        tuple(series),
        is_percent=True,
        has_marks=True,
        step_name="{}% of the images".format,
        empty_note=NO_CURVES,
        remark="most unlike images rejected first",
    )


def distance_map(table: FindingTable, cells: int) -> Iterator[Line]:
    """Yield a matrix of distances; the farther apart two domains, the brighter their cell.

    Nothing if it does not fit.
    """
    names = [plain_text(str(row[0])) for row in table.rows]
    label_cells = min(MOST_NAME_CELLS, max(map(width, names)))
    cell = min(MOST_NAME_CELLS, max(_LEAST_CELLS, *map(width, names))) + 1
    if label_cells + 1 + cell * len(names) > cells:
        cell = (cells - label_cells - 1) // len(names)
    values = [[number_in(each) for each in row[1:]] for row in table.rows]
    if cell < _LEAST_CELLS or any(len(row) != len(names) for row in values):
        return
    most = max((each for row in values for each in row if each is not None), default=0.0) or 1.0
    headings = (fit(name, cell - 1).rstrip() for name in names)
    heading = "".join(" " * (cell - 1 - width(each)) + each + " " for each in headings)
    yield [Segment(" " * (label_cells + 1) + heading)]
    for at, (name, row) in enumerate(zip(names, values, strict=True)):
        line = [Segment(fit(name, label_cells) + " ")]
        for column, value in enumerate(row):
            text = "–" if column == at else decimal(value, 2)
            style = None if value is None or column == at else heat_style(value / most)
            line.append(Segment(f"{text:>{cell - 1}} ", style))
        yield line


def _risk_coverage(diagnosis: Diagnosis, cells: int) -> Iterable[Line]:
    table, scores = diagnosis.tables.get("risk_coverage"), diagnosis.tables.get("scores")
    if table is None:
        return ()
    return drawn_lines(risk_coverage_plot(table, {} if scores is None else _areas(scores)), cells)


def _areas(scores: FindingTable) -> dict[str, float]:
    if AREA not in scores.columns:
        return {}
    at = scores.columns.index(AREA)
    cells: list[tuple[Cell, Cell]] = [(row[0], row[at]) for row in scores.rows if len(row) > at]
    return {str(name): value for name, cell in cells if (value := number_in(cell)) is not None}


def _distances(diagnosis: Diagnosis, cells: int) -> Iterable[Line]:
    table = diagnosis.tables.get("between")
    if table is None or not table.rows or not all(table.rows):
        return ()
    return distance_map(table, cells)


SHIFT_DRAWN: Final[Mapping[str, Callable[[Diagnosis, int], Iterable[Line]]]] = {
    "detection": _risk_coverage,
    "distances": _distances,
}
"""How diagnoses of ``vld shift`` are drawn, by the name of the diagnostic."""
