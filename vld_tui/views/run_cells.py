"""A run, or several as one, as a line of the dashboard's table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.segment import Segment
from rich.style import Style

from vld_tui.store.runs import Run
from vld_tui.views.columns import GAP, Layout, align, lay_out
from vld_tui.views.palette import status_style
from vld_tui.views.run_columns import RunColumn

MARK: Final = "▐"
_HEADING: Final = Style(bold=True)


def heading_line(columns: Sequence[RunColumn], layout: Layout) -> list[Segment]:
    """Return the table's first line."""
    shown = [column.column for column in columns]
    headings = align(shown, layout, [column.heading for column in shown])
    return [Segment(" " + GAP.join(headings), _HEADING)]


def row_line(
    columns: Sequence[RunColumn],
    layout: Layout,
    cells: Sequence[str],
    run: Run | None,
    *,
    is_marked: bool,
) -> list[Segment]:
    """Return the line of one run, or of a group (None)."""
    line = [Segment(MARK if is_marked else " ", _HEADING)]
    texts = align([column.column for column in columns], layout, cells)
    for index, text in zip(layout.shown, texts, strict=True):
        style = columns[index].style
        if columns[index].is_status and run is not None:
            style = status_style(run.status, collapsed=run.collapsed)
        line.append(Segment(text + GAP, Style.parse(style)))
    return line


def cell_layout(columns: Sequence[RunColumn], rows: Sequence[Sequence[str]], cells: int) -> Layout:
    """Choose columns and widths for lines of so many cells."""
    return lay_out([column.column for column in columns], rows, cells - 1)


def column_at(layout: Layout, x: int) -> int | None:
    """Return the index of the column that stands at a cell of a line; None: between two."""
    start = 1
    for index, width in zip(layout.shown, layout.widths, strict=True):
        if start <= x < start + max(1, width):
            return index
        start += width + len(GAP)
    return None
