"""A run as a line of the dashboard's table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.segment import Segment
from rich.style import Style

from vld_tui.store.runs import QUEUED, Run
from vld_tui.views.columns import GAP, Column, Layout, align, lay_out
from vld_tui.views.numbers import UNKNOWN, age, duration, percent
from vld_tui.views.palette import (
    COLLAPSED_SIGN,
    ID_STYLE,
    OOD_STYLE,
    QUIET_STYLE,
    STATUS_SIGNS,
    status_style,
)
from vld_tui.views.sparkline import sparkline
from vld_tui.views.text import plain_text

BAR_CELLS: Final = 6
SPARK_CELLS: Final = 8
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"

CELL_COLUMNS: Final = (
    Column("", rank=100),
    Column("name", rank=99, shrinks=True, narrowest=18),
    Column("data → target", rank=6, shrinks=True, narrowest=12),
    Column("model", rank=2, shrinks=True, narrowest=10),
    Column("λ", right=True, rank=8),
    Column("masks", right=True, rank=5),
    Column("seed", right=True, rank=4),
    Column("progress", rank=9),
    Column("ID", right=True, rank=98),
    Column("OOD", right=True, rank=98),
    Column("OOD trail", rank=7),
    Column("age", right=True, rank=6),
    Column("tags", rank=1, shrinks=True, narrowest=6),
)
_STYLES: Final = {
    "ID": Style.parse(ID_STYLE),
    "OOD": Style.parse(OOD_STYLE),
    "OOD trail": Style.parse(OOD_STYLE),
    "age": Style.parse(QUIET_STYLE),
    "tags": Style.parse(QUIET_STYLE),
}
MARK: Final = "▐"


def run_cells(run: Run, ood_history: Sequence[float], *, now: float) -> tuple[str, ...]:
    """Return a run's cells at Unix time ``now``, one for each of ``CELL_COLUMNS``."""
    return (
        COLLAPSED_SIGN if run.collapsed else STATUS_SIGNS.get(run.status, "?"),
        plain_text(run.name),
        plain_text(f"{run.dataset} → {run.target or UNKNOWN}"),
        plain_text(run.model),
        f"{run.dropout_rate:g}",
        str(run.masks),
        str(run.seed),
        progress_cell(run),
        percent(run.id_accuracy),
        percent(run.ood_accuracy),
        sparkline(ood_history, SPARK_CELLS),
        age(now - run.created_at),
        plain_text(" ".join(run.tags)),
    )


def progress_cell(run: Run) -> str:
    """Show how far a live run is and when it ends; how another one ended."""
    if run.status == QUEUED:
        return "held" if run.is_held else "queued"
    if run.status != "running":
        return run.status
    if run.step == 0:
        return "prepares"
    eighths = round(8 * BAR_CELLS * run.step / max(1, run.steps))
    bar = "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")
    return f"{bar:<{BAR_CELLS}} {duration(run.seconds_left)}"


def heading_line(layout: Layout) -> list[Segment]:
    """Return the table's first line."""
    headings = align(CELL_COLUMNS, layout, [column.heading for column in CELL_COLUMNS])
    return [Segment(" " + GAP.join(headings), Style(bold=True))]


def row_line(layout: Layout, cells: Sequence[str], run: Run, *, is_marked: bool) -> list[Segment]:
    """Return the line of one run."""
    line = [Segment(MARK if is_marked else " ", Style.parse("bold"))]
    for index, text in zip(layout.shown, align(CELL_COLUMNS, layout, cells), strict=True):
        heading = CELL_COLUMNS[index].heading
        style = _STYLES.get(heading, Style.null())
        if heading in ("", "progress"):
            style = Style.parse(status_style(run.status, collapsed=run.collapsed))
        line.append(Segment(text + GAP, style))
    return line


def cell_layout(rows: Sequence[Sequence[str]], cells: int) -> Layout:
    """Choose columns and widths for lines of so many cells."""
    return lay_out(CELL_COLUMNS, rows, cells - 1)
