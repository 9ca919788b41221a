"""A list of runs as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.text import Text

from vld_tui.runs.run import Run
from vld_tui.views.runs import RUN_COLUMNS, run_row
from vld_tui.words.columns import GAP, align, lay_out
from vld_tui.words.palette import HEADING_STYLE, ID_STYLE, OOD_STYLE, QUIET_STYLE, status_style

_STYLES: Final = {
    "ID acc": ID_STYLE, "OOD acc": OOD_STYLE, "age": QUIET_STYLE, "run": QUIET_STYLE
}  # fmt: skip


def run_table(runs: Sequence[Run], *, now: float, cells: int) -> Text:
    """Return the table in ``cells`` columns, the least needed ones left out."""
    rows = [run_row(run, now=now) for run in runs]
    layout = lay_out(RUN_COLUMNS, rows, cells)
    headings = align(RUN_COLUMNS, layout, [column.heading for column in RUN_COLUMNS])
    lines = [Text(GAP.join(headings).rstrip(), style=HEADING_STYLE)]
    for run, row in zip(runs, rows, strict=True):
        line = Text()
        for index, cell in zip(layout.shown, align(RUN_COLUMNS, layout, row), strict=True):
            heading = RUN_COLUMNS[index].heading
            style = _STYLES.get(heading, "")
            if heading == "status":
                style = status_style(run.status, collapsed=run.collapsed)
            line.append(cell, style=style)
            line.append(GAP)
        line.rstrip()
        lines.append(line)
    return Text("\n").join(lines)
