"""Runs and study results as records for scripts: JSON and CSV."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Literal

import msgspec

from engine.protocol import FIELDS, MEASURES, Summary, UserError, learning_rates, shown_value
from vld_tui.runs.run import ArmResult, Run
from vld_tui.runs.statistics import Estimate
from vld_tui.store.query import Query
from vld_tui.store.store import Store

if TYPE_CHECKING:
    from vld_tui.study.results.cells import StudyCell
    from vld_tui.study.results.outcomes import Design, Outcome
    from vld_tui.study.results.state import StudyState

_NESTED: Final = ("domains", "arms", "measures")
_WORDS: Final = ("parents", "tags")
"""Lists of words that are one text in CSV."""
_OF_ARM: Final = ("selected_step", "id_accuracy", "plain_id_accuracy", "ood_accuracy")

Record = dict[str, Any]


class RecordsError(UserError):
    """A file that cannot be written; the message says why."""


def run_records(store: Store, runs: Sequence[Run]) -> list[Record]:
    """Return the records of runs for scripts.

    Raises:
        StoreError: when the history cannot be read.
    """
    arms = store.series.arms([run.run_id for run in runs])
    return [run_record(run, arms.get(run.run_id, ())) for run in runs]


def run_record(run: Run, arms: Sequence[ArmResult]) -> Record:
    """Return the record of a run for scripts; accuracies are from 0 to 1.

    ``arms`` are the additional arms, each at its own selected step.
    """
    return {
        "run": run.run_id,
        "name": run.name,
        "status": run.status,
        "collapsed": run.collapsed,
        "collapsed_step": run.collapsed_step,
        "recovered_step": run.recovered_step,
        **{name: _trained(run, name) for name in ("dataset", "target", "model")},
        "parents": [parent.label for parent in run.combination.parents] if run.combination else [],
        **{name: _trained(run, name) for name in ("dropout_rate", "masks", "seed")},
        "step": run.step,
        "steps": run.steps if run.has_spec else None,
        "selected_step": run.selected_step,
        "select_on": run.spec.select_on if run.has_spec else None,
        "id_accuracy": run.id_accuracy,
        "plain_id_accuracy": run.plain_id_accuracy,
        "ood_accuracy": run.ood_accuracy,
        "domains": run.domains,
        "measures": measures_record(run.measures),
        "arm": run.arm,
        "arms": [
            msgspec.structs.asdict(each)
            | {
                "plain_id_accuracy": run.plain_mean(each.domains),
                "measures": measures_record(each.measures),
            }
            for each in arms
        ],
        "loss": run.loss,
        "phase": run.phase.as_record() if run.is_live and run.phase else None,
        "wall_s": run.wall_s,
        "device": run.device,
        "precision": run.precision,
        "evaluation_precision": run.evaluated_in,
        "memory_format": run.memory_format,
        "attempts": run.attempts,
        "created_at": run.created_at,
        "trashed_at": run.trashed_at,
        "tags": run.tags,
        "note": run.note,
        "error": run.error,
        "job": run.job,
        "job_state": run.job_state,
        "job_node": run.job_node,
        **_rates(run),
    }


def checkpoint_records(store: Store, run: Run) -> list[Record]:
    """Return the checkpoints of a run that are in its folder.

    Raises:
        StoreError: when the history cannot be read.
    """
    folder = store.runs.run_dir(run.run_id).path
    return [
        msgspec.structs.asdict(each) | {"path": str(folder / each.file)}
        for each in store.checkpoints.left(run.run_id)
    ]


def measures_record(measures: Summary) -> Record:
    """Return ID and OOD values by name: ``id_balanced_accuracy`` and so on."""
    return {
        f"{which}_{name}": value
        for name, values in measures.items()
        for which, value in zip(("id", "ood"), values, strict=True)
        if name not in MEASURES or which in dict(MEASURES[name].places).values()
    }


def _rates(run: Run) -> Record:
    """Return the peak and final learning rate of a run."""
    if run.combination is not None or not run.has_spec:
        return {"peak_lr": None, "end_lr": None}
    peak, end = learning_rates(run.spec)
    return {"peak_lr": peak, "end_lr": end}


def settings_record(run: Run) -> Record:
    """Return every setting of a run; None: not known, or the combined networks differ in it."""
    return {name: _trained(run, name) if run.has_spec else None for name in FIELDS}


def _trained(run: Run, name: str) -> Any:
    """Return the value of a field, or None if the combined networks differ in it."""
    return None if name in run.mixed_fields else getattr(run.spec, name)


def write_csv(records: Sequence[Record], file: IO[str]) -> None:
    """Write records of runs as CSV, with columns for every domain and arm."""
    flat = map(flat_record, records)
    write_records([each | {name: " ".join(each[name]) for name in _WORDS} for each in flat], file)


def write_records(
    records: Sequence[Mapping[str, Any]], file: IO[str], columns: Sequence[str] = ()
) -> None:
    """Write records as CSV, with a column for every key; ``columns`` come first."""
    names = dict.fromkeys([*columns, *(column for record in records for column in record)])
    quoting = quoting_of([*records, names])
    writer = csv.DictWriter(file, list(names), lineterminator="\n", quoting=quoting)
    writer.writeheader()
    writer.writerows(records)


def quoting_of(records: Iterable[Mapping[str, Any]]) -> Literal[0, 1]:
    """Return the CSV quoting mode: before Python 3.13, a carriage return would not be quoted."""
    values = (value for record in records for value in (*record, *record.values()))
    is_broken = any(isinstance(value, str) and "\r" in value for value in values)
    return csv.QUOTE_ALL if is_broken else csv.QUOTE_MINIMAL


def export_runs(store: Store, query: Query, path: Path) -> int:
    """Write the runs that match to a new file, JSON if it ends so and CSV otherwise; return how
    many.

    Raises:
        RecordsError: when it cannot be written, or exists.
        StoreError: when the history cannot be read.
    """
    records = run_records(store, store.runs.find(query))
    with new_file(path) as file:
        if path.suffix == ".json":
            text = msgspec.json.format(msgspec.json.encode(records), indent=2)
            file.write(text.decode() + "\n")
        else:
            write_csv(records, file)
    return len(records)


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[IO[str]]:
    """Open a new file to be written.

    Raises:
        RecordsError: when it cannot be written, or exists.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise RecordsError(f"Cannot write to {path}: {error.strerror}.") from None


def flat_record(record: Record) -> Record:
    """Return a run's record with a key for every domain, measure and value of an arm."""
    flat = {name: value for name, value in record.items() if name not in _NESTED}
    flat |= {f"domains.{name}": accuracy for name, accuracy in record["domains"].items()}
    flat |= record["measures"]
    for arm in record["arms"]:
        values = {name: arm[name] for name in _OF_ARM} | arm["measures"]
        flat |= {f"arms.{arm['arm']}.{name}": value for name, value in values.items()}
    return flat


def export_table(state: StudyState, path: Path) -> int:
    """Write the results of a study's finished runs to a new CSV file; return the number of rows.

    Raises:
        RecordsError: when it cannot be written, or exists.
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
    from vld_tui.study.results.cells import (  # a list of runs does without studies
        arms_of,
        compared_grid,
        varying_fields,
    )

    if state.standing is None:
        return
    study = state.standing.study
    varying = varying_fields(study)
    for arm in arms_of(study):
        grid = compared_grid(state, arm=arm, varying=varying)
        for (values, (dataset, target)), cell in grid.cells.items():
            settings = dict(zip(study.compare, map(_setting, values), strict=True))
            yield {"dataset": dataset, "target": target, **settings, "arm": arm, **_figures(cell)}


def _setting(value: Any) -> Any:
    """Return a compared value: numbers as they are, others as the text that a user would type."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number else shown_value(value)


def _figures(cell: StudyCell) -> dict[str, Any]:
    from vld_tui.study.results.cells import quantities

    known = quantities(cell.results)
    ids = cell.estimate(known["id"])
    domain, worst = cell.worst or (None, None)
    figures: dict[str, Any] = {
        "seeds": ids.n if ids else 0,
        "finished": len(cell.results),
        "runs": len(cell.specs),
    }
    for quantity in known.values():
        figures |= _columns(quantity.key, cell.estimate(quantity))
    return figures | _columns("worst_domain_accuracy", worst) | {"worst_domain": domain}


def result_records(results: Sequence[Outcome], design: Design) -> list[Record]:
    """Return a record for each run and arm of a study, all with the same keys."""
    rows = [_result(each, design) for each in results]
    columns: Record = dict.fromkeys(name for row in rows for name in row)
    columns |= dict.fromkeys(f"domains.{name}" for each in results for name in each.domains)
    return [
        columns | row | {f"domains.{name}": value for name, value in each.domains.items()}
        for row, each in zip(rows, results, strict=True)
    ]


def _result(result: Outcome, design: Design) -> Record:
    seed, trial_seed = result.seed
    return {
        "run": result.run_id,
        "dataset": result.dataset,
        "target": result.target,
        "held_out_source": result.held_out_source,
        **dict(result.setting.values),
        **dict(zip(design.chosen, result.cell, strict=True)),
        "arm": result.setting.arm or "own",
        "seed": seed,
        "trial_seed": trial_seed,
        "steps": result.steps,
        "selected_step": result.selected_step,
        "select_on": result.selected_on,
        "id_accuracy": result.id_accuracy,
        "ood_accuracy": result.ood_accuracy,
        "last_step": result.last and result.last.step,
        "last_id_accuracy": result.last and result.last.id_accuracy,
        "last_ood_accuracy": result.last and result.last.ood_accuracy,
        "last_target_out_accuracy": result.last and result.last.target_out_accuracy,
        **measures_record(result.measures),
    }


def _columns(name: str, found: Estimate | None) -> dict[str, float | None]:
    return {name: found and found.mean, f"{name}_deviation": found and found.deviation}
