"""Runs as records for scripts: JSON and CSV, the same wherever they are written."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec

from vld_tui.store.runs import Run


def run_record(run: Run) -> dict[str, Any]:
    """Return what a script wants to know of a run; accuracies are shares from 0 to 1."""
    return {
        "run": run.run_id,
        "name": run.name,
        "status": run.status,
        "collapsed": run.collapsed,
        "dataset": run.dataset,
        "target": run.target,
        "model": run.model,
        "parents": [parent.label for parent in run.combination.parents] if run.combination else [],
        **{name: _trained(run, name) for name in ("dropout_rate", "masks", "seed")},
        "step": run.step,
        "steps": run.steps,
        "selected_step": run.selected_step,
        "id_accuracy": run.id_accuracy,
        "ood_accuracy": run.ood_accuracy,
        "domains": run.domains,
        "arm": run.arm,
        "loss": run.loss,
        "wall_s": run.wall_s,
        "device": run.device,
        "precision": run.precision,
        "memory_format": run.memory_format,
        "attempts": run.attempts,
        "created_at": run.created_at,
        "trashed_at": run.trashed_at,
        "tags": run.tags,
        "note": run.note,
        "error": run.error,
    }


def _trained(run: Run, name: str) -> Any:
    """Return the value of a field; None where networks that are combined differ in it."""
    return None if name in run.mixed_fields else getattr(run.spec, name)


def write_csv(runs: Sequence[Run], file: IO[str]) -> None:
    """Write runs as CSV, a column for each domain that one of them knows."""
    write_records([_flat(run_record(run)) for run in runs], file)


def write_records(records: Sequence[Mapping[str, Any]], file: IO[str]) -> None:
    """Write records as CSV, a column for each key that one of them has."""
    columns = list(dict.fromkeys(column for record in records for column in record))
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)


def export_runs(runs: Sequence[Run], path: Path) -> None:
    """Write runs to a new file: ``.csv`` or ``.json``.

    Raises:
        ValueError: for another ending.
        OSError: when it cannot be written, or is there already.
    """
    if path.suffix not in (".csv", ".json"):
        raise ValueError(f"{path.name} must end in .csv or .json.")
    with path.open("x", encoding="utf-8") as file:
        if path.suffix == ".csv":
            write_csv(runs, file)
        else:
            records = msgspec.json.encode([run_record(run) for run in runs])
            file.write(msgspec.json.format(records, indent=2).decode() + "\n")


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    domains = record.pop("domains")
    record["parents"] = " ".join(record["parents"])
    record["tags"] = " ".join(record["tags"])
    return record | {f"domains.{name}": accuracy for name, accuracy in domains.items()}
