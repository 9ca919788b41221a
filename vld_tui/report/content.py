"""The contents of a study's report as values."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

from vld_tui.control.export import measures_record, quoting_of
from vld_tui.report.accuracy import by_target, centres, measure_tables
from vld_tui.report.choices import choice_tables
from vld_tui.report.differences import differences
from vld_tui.report.facts import CAUTION, Fact, coverage_table, facts
from vld_tui.report.tables import Table, records
from vld_tui.runs.metrics import Attempt
from vld_tui.study.define.files import without_local_folder
from vld_tui.study.results.cloud import Cloud, clouds
from vld_tui.study.results.gather import Gathered
from vld_tui.study.results.interpolation import Way
from vld_tui.study.results.outcomes import Design, Outcome


class Report(NamedTuple):
    """A study's report before rendering.

    ``missing`` lists missing runs; None: none. ``definition`` is the study's TOML for sharing.
    """

    name: str
    title: str
    facts: tuple[Fact, ...]
    missing: Table | None
    tables: tuple[Table, ...]
    clouds: tuple[Cloud, ...]
    results: tuple[Outcome, ...]
    ways: tuple[Way, ...]
    design: Design
    definition: str


def make_report(
    gathered: Gathered,
    attempts: Sequence[Attempt],
    ways: Sequence[Way],
    *,
    made_at: float,
    version: str,
) -> Report:
    """Compute the contents of a report.

    Args:
        gathered: the study and its runs, at least one of them finished.
        attempts: the last attempt of each run.
        ways: interpolations between its runs.
        made_at: the time of the report, Unix seconds.
        version: version of this program.
    """
    results = gathered.results
    found = tuple(clouds(results))
    tables = [by_target(results), *([centres(results)] if found else [])]
    tables += measure_tables(results)
    tables += choice_tables(results, gathered.design)
    compared = differences(results)
    tables += [] if compared is None else [compared]
    return Report(
        name=gathered.study.name,
        title=gathered.study.title,
        facts=tuple(facts(gathered, attempts, made_at=made_at, version=version)),
        missing=coverage_table(gathered.coverage),
        tables=tuple(tables),
        clouds=found,
        results=results,
        ways=tuple(ways),
        design=gathered.design,
        definition=without_local_folder(gathered.study.text),
    )


def report_record(report: Report) -> dict[str, Any]:
    """Return the report for scripts; accuracies are from 0 to 1."""
    return {
        "study": report.name,
        "title": report.title,
        "facts": {
            label: "\n".join(fact.text for fact in report.facts if fact.label == label)
            for label in dict.fromkeys(fact.label for fact in report.facts)
        },
        "cautions": [fact.text for fact in report.facts if fact.label == CAUTION],
        "missing": [] if report.missing is None else records(report.missing),
        "tables": {table.name: records(table) for table in report.tables},
        "compared": report.design.compared,
        "chosen": report.design.chosen,
    }


def results_csv(report: Report) -> str:
    """Write every result of the report as CSV, with a column per domain."""
    rows = [_row(each, report.design) for each in report.results]
    domains = [f"domains.{name}" for each in report.results for name in each.domains]
    names = [*dict.fromkeys(name for row in rows for name in row), *domains]
    file = io.StringIO()
    quoting = quoting_of([*rows, *(dict.fromkeys(domains, "") for _ in rows[:1])])
    columns = list(dict.fromkeys(names))
    writer = csv.DictWriter(file, columns, lineterminator="\n", quoting=quoting)
    writer.writeheader()
    for row, each in zip(rows, report.results, strict=True):
        named = {f"domains.{name}": accuracy for name, accuracy in each.domains.items()}
        writer.writerow(row | named)
    return file.getvalue()


def ways_csv(report: Report) -> str:
    """Write the interpolation accuracies as CSV."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["run", "dataset", "target", "arm", "accuracy_of", "share", "accuracy", "from"])
    for way in report.ways:
        for curve in way.curves:
            for share, accuracy in zip(curve.shares, curve.accuracies, strict=True):
                place = (way.run_id, way.dataset, way.target, curve.arm, curve.domain)
                writer.writerow([*place, share, accuracy, way.starts_at or "run"])
    return file.getvalue()


def _row(result: Outcome, design: Design) -> dict[str, Any]:
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
        "id_accuracy": result.id_accuracy,
        "ood_accuracy": result.ood_accuracy,
        "last_step": result.last and result.last.step,
        "last_id_accuracy": result.last and result.last.id_accuracy,
        "last_ood_accuracy": result.last and result.last.ood_accuracy,
        "last_target_out_accuracy": result.last and result.last.target_out_accuracy,
        **measures_record(result.measures),
    }
