"""Export a study's results as CSV: one row per setting, target and arm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from engine.protocol import shown_value
from vld_tui.control.export import new_file, write_records
from vld_tui.runs.statistics import Estimate
from vld_tui.study.results.cells import (
    StudyCell,
    arms_of,
    compared_grid,
    quantities,
    varying_fields,
)
from vld_tui.study.results.state import StudyState


def export_table(state: StudyState, path: Path) -> int:
    """Write the results of a study's finished runs to a new CSV file; return the number of rows.

    Raises:
        ExportError: when it cannot be written, or exists.
    """
    with new_file(path) as file:
        return write_table(state, file)


def write_table(state: StudyState, file: IO[str]) -> int:
    """Write the table as CSV; accuracies are from 0 to 1, over the seeds of every candidate."""
    records = list(table_records(state))
    write_records(records, file)
    return len(records)


def table_records(state: StudyState) -> Iterator[dict[str, Any]]:
    """Yield the results of each setting on each target, by arm."""
    if state.standing is None:
        return
    study = state.standing.study
    varying = varying_fields(study)
    for arm in arms_of(study):
        grid = compared_grid(state, arm=arm, varying=varying)
        for (values, (dataset, target)), cell in grid.cells.items():
            shown = (shown_value(value) for value in values)
            settings = dict(zip(study.compare, shown, strict=True))
            yield {"dataset": dataset, "target": target, **settings, "arm": arm, **_figures(cell)}


def _figures(cell: StudyCell) -> dict[str, Any]:
    known = quantities(cell.results)
    ids = cell.estimate(known["id"])
    domain, worst = cell.worst or ("", None)
    figures: dict[str, Any] = {
        "seeds": ids.n if ids else 0,
        "finished": len(cell.results),
        "runs": len(cell.specs),
    }
    for quantity in known.values():
        figures |= _columns(quantity.key, cell.estimate(quantity))
    return figures | _columns("worst_domain_accuracy", worst) | {"worst_domain": domain}


def _columns(name: str, found: Estimate | None) -> dict[str, float | None]:
    return {name: found and found.mean, f"{name}_deviation": found and found.deviation}
