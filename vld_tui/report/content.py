"""The content of a report: facts about its runs, tables, and the data of its figures."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any, Final, NamedTuple

from engine.protocol import FIELDS, NOT_RESULT, fields_with
from engine.protocol.data_evaluations import DataEvaluation
from vld_tui.control.records import result_records, write_records
from vld_tui.report.accuracy import by_target, centres, measure_tables
from vld_tui.report.choices import choice_tables
from vld_tui.report.differences import differences
from vld_tui.report.evaluations import evaluation_tables
from vld_tui.report.incomplete import Incomplete
from vld_tui.report.richness import diagnostics_table
from vld_tui.report.tables import CellValue, Table, TableColumn, records
from vld_tui.runs.metrics import Attempt
from vld_tui.runs.run import Run
from vld_tui.study.define.files import without_local_folder
from vld_tui.study.results.interpolation import Way
from vld_tui.study.results.outcomes import (
    PLACES,
    Coverage,
    Design,
    Gathered,
    Outcome,
    value_words,
)
from vld_tui.study.results.selection import Cloud, clouds
from vld_tui.views.cautions import measure_cautions
from vld_tui.views.study import image_cautions, precision_cautions
from vld_tui.words.numbers import duration, moment, percent, plural

CAUTION: Final = "caution"
"""The label of warnings about the results."""
_ALWAYS: Final = fields_with("reported")
"""Fields that are shown even at their default."""
_UNTOLD: Final = NOT_RESULT.union(fields_with("not_own_result")) - {"arms", "recipe"}
_MISSING: Final = (
    TableColumn("dataset", "data set", right=False),
    TableColumn("target", "target", right=False),
    TableColumn("setting", "setting", right=False),
    TableColumn("finished", "finished"),
    TableColumn("asked", "of"),
    TableColumn("others", "others", right=False),
)


class Fact(NamedTuple):
    """One line of the header; both texts are unescaped."""

    label: str
    text: str


def facts(
    gathered: Gathered, attempts: Iterable[Attempt], *, made_at: float, version: str
) -> list[Fact]:
    """Return the header: what was run, how often, where, and what is missing.

    Args:
        gathered: the study and its runs.
        attempts: the last attempt of each run.
        made_at: the time of the report, Unix seconds.
        version: version of this program.
    """
    study, runs = gathered.study, gathered.runs
    complete = Incomplete.of(gathered.results, gathered.coverage).complete(gathered.results)
    return [
        *(Fact(CAUTION, each) for each in image_cautions(study.name, runs)),
        *(Fact(CAUTION, each) for each in precision_cautions(study, runs)),
        *(Fact(CAUTION, each) for each in measure_cautions(complete)),
        Fact("study", f"{study.name}: {study.title}" if study.title != study.name else study.name),
        Fact("runs", _counts(gathered)),
        Fact("data", _joined(dict.fromkeys(spec.dataset for spec in study.specs))),
        Fact("targets", _targets(gathered)),
        *_varying(gathered),
        Fact("seeds", _joined(dict.fromkeys(spec.seed for spec in study.specs))),
        Fact("fixed", _fixed(gathered)),
        Fact("predictions", _joined(_arms(gathered))),
        *_augmented(runs),
        Fact("machines", _tally(_machine(run.host, run.gpu, run.device) for run in runs)),
        Fact("precision", _tally(_precision(run) for run in runs)),
        Fact("versions", _versions(attempts)),
        Fact("computing", duration(sum(run.wall_s or 0.0 for run in runs))),
        Fact("created", f"{moment(made_at)} by vld-tui {version}"),
    ]


def _augmented(runs: Sequence[Run]) -> list[Fact]:
    """Return the images that ID accuracy is measured on if some runs augment them, with means."""
    augmented = [run for run in runs if run.spec.augment_validation]
    pairs = [(run.id_accuracy, run.plain_id_accuracy) for run in augmented]
    known = [(of_id, plain) for of_id, plain in pairs if of_id is not None and plain is not None]
    if not known:
        return []
    of_id, plain = (percent(fmean(each)) for each in zip(*known, strict=True))
    whose = "" if len(augmented) == len(runs) else f" of {plural(len(augmented), 'run')}"
    words = f"on augmented validation images{whose}, which select the step: mean {of_id}"
    return [Fact("ID accuracy", f"{words}; {plain} on plain images")]


def coverage_table(coverage: Sequence[Coverage]) -> Table | None:
    """Return the table of missing runs, or None."""
    rows: list[tuple[CellValue, ...]] = []
    for each in coverage:
        setting = each.setting.label
        if each.has_held_out_source:
            setting += " · with a held-out source"
        others = ", ".join(f"{count:,} {name}" for name, count in each.others.items())
        if each.missing:
            rows.append((each.dataset, each.target, setting, each.finished, each.asked, others))
    if not rows:
        return None
    return Table("missing", "Missing runs", _MISSING, tuple(rows))


def _counts(gathered: Gathered) -> str:
    finished = len(gathered.runs)
    words = [f"{finished:,} of {gathered.asked:,} finished"]
    if collapsed := sum(run.collapsed for run in gathered.runs):
        words.append(f"{collapsed:,} collapsed (predict one class for every image)")
    if recovered := sum(
        run.recovered_step is not None and not run.collapsed for run in gathered.runs
    ):
        words.append(f"{recovered:,} collapsed and recovered")
    if held_out := sum(run.spec.held_out_source is not None for run in gathered.runs):
        words.append(f"{held_out:,} with a held-out source")
    return ", ".join(words)


def _targets(gathered: Gathered) -> str:
    targets: dict[str, dict[str, None]] = {}
    for spec in gathered.study.main_specs:
        targets.setdefault(spec.dataset, {})[str(spec.target)] = None
    if len(targets) == 1:
        return _joined(*targets.values())
    return "; ".join(f"{dataset}: {_joined(names)}" for dataset, names in targets.items())


def _varying(gathered: Gathered) -> list[Fact]:
    design, specs = gathered.design, gathered.study.specs
    told = []
    for label, names in (("compared", design.compared), ("chosen among", design.chosen)):
        values = [
            f"{FIELDS[name].label} {_joined(dict.fromkeys(getattr(spec, name) for spec in specs))}"
            for name in names
        ]
        told += [Fact(label, "; ".join(values))] if values else []
    return told


def _fixed(gathered: Gathered) -> str:
    specs, design = gathered.study.specs, gathered.design
    words = []
    for name, info in FIELDS.items():
        if name in (*PLACES, *_UNTOLD, *design.compared, *design.chosen):
            continue
        values = list(dict.fromkeys(getattr(spec, name) for spec in specs))
        if "implied" in info.roles and len(values) > 1:  # such as the teacher of each run
            continue
        if name in _ALWAYS or values != [info.default]:
            words.append(f"{info.label} {_joined(values)}")
    return "; ".join(words)


def _arms(gathered: Gathered) -> list[str]:
    own = dict.fromkeys(run.arm for run in gathered.runs)
    beside = dict.fromkeys(
        each.setting.arm for each in gathered.results if each.setting.arm is not None
    )
    return [*own, *beside]


def _joined(values: Iterable[object]) -> str:
    return ", ".join(value_words(value, " ") for value in values) or "none"


def _machine(host: str | None, gpu: str | None, device: str | None) -> str:
    return f"{host or 'unknown'} ({' '.join(filter(None, (device, gpu))) or 'unknown'})"


def _tally(names: Iterable[str]) -> str:
    counts = Counter(names)
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{name} ({plural(count, 'run')})" for name, count in counts.items())


def _precision(run: Run) -> str:
    """Return the precision of training, and of the evaluations if different."""
    if run.precision is None or run.evaluated_in == run.precision:
        return run.precision or "unknown"
    return f"{run.precision}, evaluated in {run.evaluated_in}"


def _versions(attempts: Iterable[Attempt]) -> str:
    def words(versions: Mapping[str, str], commit: str | None) -> str:
        named = [f"{name} {version}" for name, version in versions.items()]
        return " ".join([*named, *([f"commit {commit[:12]}"] if commit else [])])

    return _tally(words(each.versions, each.commit) for each in attempts) or "unknown"


class Report(NamedTuple):
    """A study's report before rendering.

    ``missing`` lists missing runs; None: none. ``definition`` is the study's TOML for sharing.
    ``clouds`` and ``complete`` are of settings without missing runs: only these are drawn.
    """

    name: str
    title: str
    facts: tuple[Fact, ...]
    missing: Table | None
    tables: tuple[Table, ...]
    clouds: tuple[Cloud, ...]
    results: tuple[Outcome, ...]
    complete: tuple[Outcome, ...]
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
    evaluations: Mapping[str, Sequence[DataEvaluation]] | None = None,
) -> Report:
    """Compute the contents of a report.

    Args:
        gathered: the study and its runs, at least one of them finished.
        attempts: the last attempt of each run.
        ways: interpolations between its runs.
        made_at: the time of the report, Unix seconds.
        version: version of this program.
        evaluations: results on other data by run, oldest first.
    """
    results = gathered.results
    found = clouds(results)
    incomplete = Incomplete.of(results, gathered.coverage)
    tables = [by_target(results), *([centres(results)] if found else [])]
    tables = [incomplete.withheld(table) for table in (*tables, *measure_tables(results))]
    diagnosed = diagnostics_table(results)
    tables += [] if diagnosed is None else [diagnosed]
    tables += evaluation_tables(
        results, {run.run_id: run.arm for run in gathered.runs}, evaluations or {}
    )
    tables += choice_tables(results, gathered.design)
    compared = differences(results)
    tables += [] if compared is None else [compared]
    return Report(
        name=gathered.study.name,
        title=gathered.study.title,
        facts=tuple(facts(gathered, attempts, made_at=made_at, version=version)),
        missing=coverage_table(gathered.coverage),
        tables=tuple(tables),
        clouds=tuple(incomplete.complete_clouds(found)),
        results=results,
        complete=tuple(incomplete.complete(results)),
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
    file = io.StringIO()
    write_records(result_records(report.results, report.design), file)
    return file.getvalue()


def ways_csv(report: Report) -> str:
    """Write the interpolation accuracies as CSV."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["run", "dataset", "target", "arm", "accuracy_of", "share", "accuracy", "from"])
    for way in report.ways:
        for curve in way.curves:
            for share, accuracy in zip(curve.shares, curve.accuracies, strict=True):
                curve_columns = (way.run_id, way.dataset, way.target, curve.arm, curve.domain)
                writer.writerow([*curve_columns, share, accuracy, way.starts_at or "run"])
    return file.getvalue()
