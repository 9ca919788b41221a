"""A run, or several as one, as a line of the dashboard's table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.segment import Segment
from rich.style import Style

from vld_tui.runs.run import Run
from vld_tui.views.run_columns import RUN_COLUMNS, RunColumn
from vld_tui.words.columns import GAP, Layout, align, lay_out
from vld_tui.words.palette import status_style

MARK: Final = "▐"
GROUP_NAME_CELLS: Final = 48
"""Room for a group's name before another column goes."""
_NAME: Final = RUN_COLUMNS["name"].column
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


def cell_layout(
    columns: Sequence[RunColumn],
    rows: Sequence[Sequence[str]],
    cells: int,
    *,
    are_groups: bool = False,
) -> Layout:
    """Choose columns and widths for lines of so many cells.

    Groups have nothing to show in some columns: they leave room for names that tell them apart.
    """
    shown = [column.column for column in columns]
    if not are_groups:
        return lay_out(shown, rows, cells - 1)
    shown = [
        column._replace(narrowest=GROUP_NAME_CELLS) if column is _NAME else column
        for column in shown
    ]
    filled = [at for at in range(len(shown)) if any(row[at].strip() for row in rows)]
    texts = [[row[at] for at in filled] for row in rows]
    layout = lay_out([shown[at] for at in filled], texts, cells - 1)
    return Layout(tuple(filled[at] for at in layout.shown), layout.widths)


def column_at(layout: Layout, x: int) -> int | None:
    """Return the index of the column that stands at a cell of a line; None: between two."""
    start = 1
    for index, width in zip(layout.shown, layout.widths, strict=True):
        if start <= x < start + max(1, width):
            return index
        start += width + len(GAP)
    return None
