"""Runs imported from other trackers: a list, one of them, and their records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from engine.protocol import shown_value
from vld_tui.runs.imported import ImportedRun
from vld_tui.words.columns import Column, table_lines
from vld_tui.words.numbers import UNKNOWN, moment, percent
from vld_tui.words.text import plain_text

_COLUMNS: Final = (
    Column("name", rank=100, shrinks=True),
    Column("from", rank=95),
    Column("group", rank=90, shrinks=True),
    Column("status", rank=92),
    Column("step", right=True, rank=93),
    Column("ID", right=True, rank=98),
    Column("OOD", right=True, rank=99),
    Column("imported run", rank=97),
)
_VALUES: Final = (Column("curve"), Column("points", right=True), Column("last step", right=True),
                  Column("last value", right=True))  # fmt: skip


def imported_lines(runs: Sequence[ImportedRun], cells: int | None = None) -> Iterator[str]:
    """Yield a table of imported runs."""
    rows = [
        (
            plain_text(run.name),
            run.tracker,
            plain_text(run.group or ""),
            run.status or UNKNOWN,
            f"{run.step:,}",
            percent(run.id_accuracy),
            percent(run.ood_accuracy),
            run.run_id,
        )
        for run in runs
    ]
    yield from table_lines(_COLUMNS, rows, cells)


def imported_detail(run: ImportedRun) -> Iterator[str]:
    """Yield all that is known of an imported run: its origin, results, settings and curves."""
    step = run.selected_step
    facts = {
        "run": f"{run.run_id}  {run.name}",
        "imported": f"{moment(run.imported_at)} from {run.tracker}, {run.source}",
        "status": run.status,
        "group": run.group or "",
        "tags": " ".join(run.tags),
        "note": run.note,
        "ID": _result(run.id_curve, run.id_accuracy),
        "OOD": _result(run.ood_curve, run.ood_accuracy),
        "selected step": "" if step is None else f"{step:,} (best ID accuracy)",
    }
    yield from (f"  {label:<14} {plain_text(value)}" for label, value in facts.items() if value)
    if run.settings:
        yield from ("", "Settings")
        for name, value in sorted(run.settings.items()):
            yield f"  {plain_text(name)}  {plain_text(shown_value(value))}"
    yield from ("", "Curves")
    finals = run.finals
    rows = [
        (
            plain_text(name),
            f"{len(curve.steps):,}",
            f"{curve.steps[-1]:,}",
            UNKNOWN if finals[name] is None else f"{finals[name]:.6g}",
        )
        for name, curve in run.curves.items()
    ]
    yield from (f"  {line}" for line in table_lines(_VALUES, rows))


def imported_record(run: ImportedRun) -> dict[str, Any]:
    """Return an imported run for scripts, with the last value of each curve; accuracies are from
    0 to 1."""
    return {
        "run": run.run_id,
        "name": run.name,
        "tracker": run.tracker,
        "source": run.source,
        "imported_at": run.imported_at,
        "status": run.status or None,
        "group": run.group,
        "tags": run.tags,
        "note": run.note,
        "step": run.step,
        "selected_step": run.selected_step,
        "id_accuracy": run.id_accuracy,
        "ood_accuracy": run.ood_accuracy,
        "id_curve": run.id_curve,
        "ood_curve": run.ood_curve,
        "settings": run.settings,
        "values": run.finals,
    }


def _result(curve: str | None, accuracy: float | None) -> str:
    return "" if curve is None else f"{percent(accuracy)} ({curve})"
