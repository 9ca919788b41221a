"""A list of runs as rows of text. Imports no Rich: a list of runs should take no time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from engine.protocol import shown_value
from vld_tui.runs.run import Run
from vld_tui.words.columns import Column, table_lines
from vld_tui.words.numbers import UNKNOWN, age, percent
from vld_tui.words.palette import status_label
from vld_tui.words.text import plain_text

RUN_COLUMNS: Final = (
    Column("status", rank=100),
    Column("name", rank=99, shrinks=True, narrowest=22),
    Column("data → target", rank=5, shrinks=True, narrowest=14),
    Column("model", rank=2, shrinks=True, narrowest=14),
    Column("arm", rank=1),
    Column("λ", right=True, rank=6),
    Column("masks", right=True, rank=4),
    Column("seed", right=True, rank=3),
    Column("step", right=True, rank=7),
    Column("ID acc", right=True, rank=98),
    Column("OOD acc", right=True, rank=98),
    Column("age", right=True, rank=8),
    Column("tags", rank=0, shrinks=True, narrowest=6),
    Column("run", rank=97),
)


def run_lines(runs: Sequence[Run], *, now: float) -> Iterator[str]:
    """Yield the table as plain lines with every column, heading first."""
    yield from table_lines(RUN_COLUMNS, [run_row(run, now=now) for run in runs])


def trained_cell(run: Run, name: str) -> str:
    """Show a field that says how a run was trained, unless networks it combines differ in it."""
    value: object = getattr(run.spec, name)
    if name in run.mixed_fields:
        return UNKNOWN
    return plain_text(f"{value:g}" if isinstance(value, float) else shown_value(value))


def data_cell(run: Run) -> str:
    """Show a run's data set and the domain left out."""
    if not run.has_spec:
        return UNKNOWN
    return plain_text(f"{run.dataset} → {run.target or UNKNOWN}")


def run_row(run: Run, *, now: float) -> tuple[str, ...]:
    """Return a run's cells at Unix time ``now``, one for each of ``RUN_COLUMNS``."""
    return (
        status_label(run.status, collapsed=run.collapsed),
        plain_text(run.name),
        data_cell(run),
        plain_text(run.model or UNKNOWN),
        plain_text(run.arm.replace("_", " ")),
        trained_cell(run, "dropout_rate"),
        trained_cell(run, "masks"),
        trained_cell(run, "seed"),
        f"{run.step}/{run.steps}" if run.has_spec else UNKNOWN,
        percent(run.id_accuracy),
        percent(run.ood_accuracy),
        age(now - run.created_at),
        plain_text(" ".join(run.tags)),
        plain_text(run.run_id),
    )
