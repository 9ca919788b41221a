"""A report in the terminal: tables, and the centres in the ID–OOD plane."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.text import Text

from vld_tui.report.content import Fact, Report
from vld_tui.report.tables import Table, printed, sparse_texts
from vld_tui.runs.run import RunPoint
from vld_tui.study.results.outcomes import grouped
from vld_tui.study.results.selection import Cloud
from vld_tui.views.plane import PlanePlot
from vld_tui.words.columns import Column, lay_out, styled_table
from vld_tui.words.palette import HEADING_STYLE, QUIET_STYLE
from vld_tui.words.text import plain_text

AS_WIDE_AS_IT_TAKES: Final = 10_000
PLANE_CELLS, PLANE_ROWS = 100, 20
"""Preferred size of the plane."""
_LABEL_CELLS: Final = 18
_LONG: Final = "choices"
"""A table that is only written to a file."""


def report_texts(report: Report, cells: int) -> Iterator[Text]:
    """Yield the blocks to print; ``cells`` is the width of the terminal."""
    yield facts_text(report.facts)
    if report.missing is not None:
        yield table_text(report.missing, cells)
        yield Text(f"Run them with: vld sweep {plain_text(report.name)}")
    for table in report.tables:
        if table.name != _LONG:
            yield table_text(table, cells)
        if table.name == "centres":
            yield from _planes(report.clouds, cells)


def facts_text(facts: Sequence[Fact]) -> Text:
    """Return the header of a report."""
    text = Text()
    for number, fact in enumerate(facts):
        text.append("\n" if number else "")
        text.append(f"{plain_text(fact.label):<{_LABEL_CELLS}}  ", QUIET_STYLE)
        text.append(plain_text(fact.text))
    return text


def table_text(table: Table, cells: int) -> Text:
    """Return a table with its title, its notes, and the columns that do not fit."""
    table = printed(table)
    columns = [
        Column(
            plain_text(column.heading), right=column.right, rank=column.rank,
            shrinks=not column.right,
        )
        for column in table.columns
    ]  # fmt: skip
    rows = [[plain_text(cell) for cell in row] for row in sparse_texts(table)]
    text = Text(plain_text(table.title), HEADING_STYLE)
    text.append("\n")
    text.append_text(styled_table(columns, rows, cells))
    layout = lay_out(columns, rows, cells)
    hidden = [each.heading for at, each in enumerate(columns) if at not in layout.shown]
    if hidden:
        words = (
            f"Hidden columns (terminal too narrow): {'; '.join(hidden)}. See the report's files."
        )
        text.append(f"\n{words}", QUIET_STYLE)
    for note in table.notes:
        text.append(f"\n{plain_text(note)}", QUIET_STYLE)
    return text


def _planes(clouds: Sequence[Cloud], cells: int) -> Iterator[Text]:
    """Yield the centres of each data set in the ID–OOD plane."""
    for dataset, found in grouped(clouds, lambda cloud: cloud.dataset).items():
        points = tuple(
            RunPoint(
                run_id=cloud.setting.label,
                name=cloud.setting.label,
                id_accuracy=cloud.id_accuracy,
                ood_accuracy=cloud.ood_accuracy,
                dropout_rate=None,
                arm=cloud.setting.label,
            )
            for cloud in found
        )
        text = Text(plain_text(dataset), HEADING_STYLE)
        plot = PlanePlot(points, colouring="arm")
        for line in plot.lines(min(cells, PLANE_CELLS), PLANE_ROWS):
            text.append("\n")
            for segment in line:
                text.append(segment.text, segment.style)
        yield text
