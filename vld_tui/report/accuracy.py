"""Tables of each setting's accuracy: by target, and at the centre of its cloud."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from engine.protocol import MEASURES
from engine.protocol.diagnostics import DIAGNOSED
from vld_tui.report.tables import CellValue, PercentagePoints, Share, Spread, Table, TableColumn
from vld_tui.runs.statistics import FEWEST, Estimate
from vld_tui.study.results.inference import find_baseline, pair_up, paired_changes
from vld_tui.study.results.outcomes import (
    Cell,
    Outcome,
    criteria,
    grouped,
    in_full,
    known_measures,
    quantities_of,
    settings_of,
    with_ood,
    worst_domain,
)
from vld_tui.study.results.selection import Cloud, clouds, make_cloud

ERROR: Final = "_standard_error"
HALF_INTERVAL: Final = "_half_interval"
DEVIATION: Final = "_deviation"
SEEDS: Final = "_seeds"
"""The number of seeds behind ± and the deviation."""
TOO_FEW: Final = (
    f"An interval needs {FEWEST} seeds; with two, ± is replaced by their deviation (sd)."
)
ONE_SEED: Final = (
    "± is missing where fewer than 2 seeds have every cell: the spread over seeds is unknown."
)
UNLIKE: Final = (
    "Some settings lack targets or cells that others have, so their means are not comparable yet."
)
OTHER_IMAGES: Final = (
    "Some settings measure ID accuracy on other images (augmented validation images, or another "
    "exclude list), so it is not used to compare or choose between them."
)
OTHER_MEASURES: Final = (
    "Some runs select their step by accuracy, others by balanced accuracy, so no method chooses "
    "between them."
)
NO_OOD: Final = (
    "Runs without a target train on every domain. They have no OOD accuracy and appear in no other "
    "table or figure."
)

_MEANS: Final = (
    "Mean over cells of the mean over seeds, ± the standard error (s.e.) over the seeds that every "
    "cell has."
)
_BY_TARGET: Final = (
    TableColumn("dataset", "data set", right=False, rank=40),
    TableColumn("target", "target", right=False),
    TableColumn("setting", "setting", right=False),
    TableColumn("id_accuracy", "ID % ± s.e.", parts=("", ERROR, DEVIATION, SEEDS)),
    TableColumn("ood_accuracy", "OOD % ± s.e.", parts=("", ERROR, DEVIATION, SEEDS)),
    TableColumn("worst_domain", "worst domain %", rank=30, parts=("_accuracy", "")),
    TableColumn("worst_source", "worst source %", rank=20, parts=("_accuracy", "")),
    TableColumn("runs", "runs", rank=60),
    TableColumn("seeds", "seeds", rank=70),
    TableColumn("steps", "steps", rank=50),
)
_CENTRES: Final = (
    TableColumn("dataset", "data set", right=False),
    TableColumn("setting", "setting", right=False),
    TableColumn("id_accuracy", "ID % ± 95%", parts=("", HALF_INTERVAL, DEVIATION, SEEDS)),
    TableColumn("ood_accuracy", "OOD % ± 95%", parts=("", HALF_INTERVAL, DEVIATION, SEEDS)),
    TableColumn("id_change", "ID change", rank=80),
    TableColumn("ood_change", "OOD change", rank=80),
    TableColumn("targets", "targets", rank=60),
    TableColumn("cells", "cells", rank=50, right=False),
    TableColumn("runs", "runs", rank=70),
    TableColumn("seeds", "seeds", rank=70),
    TableColumn("points", "points", rank=40),
)


def by_target(results: Sequence[Outcome]) -> Table:
    """Return accuracies by data set, target and setting, and their mean over targets."""
    full = in_full(results)
    rows: list[tuple[CellValue, ...]] = []
    breaks: list[int] = []
    is_unlike = False
    for dataset, of_dataset in grouped(full, lambda each: each.dataset).items():
        targets = grouped(of_dataset, lambda each: each.target)
        for target, of_target in targets.items():
            breaks += [len(rows)] if rows else []
            of_setting = grouped(of_target, lambda each: each.setting)
            rows += [
                (dataset, target, *_target_cells(of_setting[setting]))
                for setting in settings_of(of_target)
            ]
        measured = with_ood(of_dataset)
        of_setting = grouped(measured, lambda each: each.setting)
        is_unlike |= len({_covered_cells(each) for each in of_setting.values()}) > 1
        if len({each.target for each in measured}) > 1:
            breaks.append(len(rows))
            rows += [(dataset, *_mean_cells(of_setting[s])) for s in settings_of(measured)]
    notes: tuple[str, ...] = (
        _MEANS,
        f"Accuracies are at each run's selected step, the one with the best {selected_by(full)}.",
        "Worst domain: the lowest accuracy of any domain, including the target.",
        *few_seeds(rows),
    )
    if is_unlike:
        notes += (UNLIKE,)
    if len(with_ood(full)) < len(full):
        notes += (NO_OOD,)
    title = "Accuracy by target"
    return Table("results", title, _BY_TARGET, tuple(rows), notes, tuple(breaks))


def selected_by(results: Sequence[Outcome]) -> str:
    """Return what selected the steps of results, as words to follow "best"."""
    return " or ".join(each.words for each in criteria(results)) or "ID accuracy"


def measure_tables(results: Sequence[Outcome]) -> list[Table]:
    """Return a table by target and setting for each measure of which there are values."""
    full = in_full(results)
    return [_measure_table(name, full) for name in known_measures(full)]


def measure_file(name: str) -> str:
    """Return the name of the table of a measure."""
    return f"measure-{name}"


def _measure_table(name: str, full: Sequence[Outcome]) -> Table:
    quantities, measure = quantities_of(name), MEASURES[name]
    rows: list[tuple[CellValue, ...]] = []
    breaks: list[int] = []
    for dataset, of_dataset in grouped(full, lambda each: each.dataset).items():
        of_target = dict(grouped(of_dataset, lambda each: each.target))
        with_target = with_ood(of_dataset)
        if (count := len({each.target for each in with_target})) > 1:
            of_target[f"mean of {count}"] = with_target
        for target, alike in of_target.items():
            breaks += [len(rows)] if rows else []
            of_setting = grouped(alike, lambda each: each.setting)
            for setting in settings_of(alike):
                found = [quantity.estimate(of_setting[setting]) for quantity in quantities]
                cells = [
                    each
                    and spread_of(each.mean, each, each.standard_error)._replace(unit=measure.unit)
                    for each in found
                ]
                runs = len({each.run_id for each in of_setting[setting]})
                rows.append((dataset, target, setting.label, *cells, runs))
    columns = tuple(
        TableColumn(
            each.key,
            f"{each.heading}{' %' if measure.unit == 'share' else ''} ± s.e.",
            parts=("", ERROR, DEVIATION, SEEDS),
        )
        for each in quantities
    )
    notes = (
        measure.help,
        *([f"{measure.direction.capitalize()}."] if measure.direction else []),
        _MEANS,
        *few_seeds(rows),
    )
    title = f"{_heading(name)} by target"
    every = (*_BY_TARGET[:3], *columns, TableColumn("runs", "runs", rank=60))
    return Table(measure_file(name), title, every, tuple(rows), notes, tuple(breaks))


def _heading(name: str) -> str:
    """Return a measure's name as a heading; those of diagnostics are proper names."""
    words = DIAGNOSED[name].label if name in DIAGNOSED else name.replace("_", " ")
    return words[:1].upper() + words[1:]


def centres(results: Sequence[Outcome]) -> Table:
    """Return the centre of each setting's cloud, and its changes of ID and OOD accuracy."""
    of_setting = grouped(with_ood(in_full(results)), lambda each: (each.dataset, each.setting))
    rows: list[tuple[CellValue, ...]] = []
    breaks: list[int] = []
    notes: tuple[str, ...] = ()
    for dataset, of_dataset in grouped(clouds(results), lambda cloud: cloud.dataset).items():
        covered = {
            each.setting: _covered_cells(of_setting[dataset, each.setting]) for each in of_dataset
        }
        if len({*covered.values()}) > 1:
            notes = (UNLIKE,)
        breaks += [len(rows)] if rows else []
        known = {cloud.setting: cloud for cloud in of_dataset}
        for cloud in of_dataset:
            baseline = known[find_baseline(cloud.setting, list(known))]
            is_like = covered[cloud.setting] == covered[baseline.setting] and cloud is not baseline
            pairs = of_setting[dataset, baseline.setting], of_setting[dataset, cloud.setting]
            rows.append(_centre_cells(cloud, _changes(*pairs) if is_like else (None, None)))
    if len({setting.measured_on for _, setting in of_setting}) > 1:
        notes += (OTHER_IMAGES,)
    notes += (
        "Mean over targets of the mean over cells of the mean over seeds; ± is half the 95% "
        "interval over seeds on these targets (Student's t), from the seeds that every cell of "
        f"every target has (at least {FEWEST}).",
        *few_seeds(rows),
        "Changes (percentage points) are relative to no dropout, or else the first setting, over "
        "the runs that both have; with missing runs, a change is not the difference of centres.",
        "Points are the ways to pick one cell for each target; they are not runs.",
    )
    return Table("centres", "Centres of the clouds", _CENTRES, tuple(rows), notes, tuple(breaks))


def seeds_text(fewest: int, most: int) -> str:
    """Write how many seeds there are of each."""
    return str(fewest) if fewest == most else f"{fewest}–{most}"


def _target_cells(results: Sequence[Outcome]) -> tuple[CellValue, ...]:
    cloud = make_cloud(results)
    worst = _worst(results, is_source=False)
    return (
        cloud.setting.label, *_accuracies(cloud), worst, _worst(results, is_source=True),
        cloud.runs, seeds_text(cloud.fewest_seeds, cloud.most_seeds), _steps(results),
    )  # fmt: skip


def _mean_cells(results: Sequence[Outcome]) -> tuple[CellValue, ...]:
    cloud = make_cloud(results)
    of_target = grouped(results, lambda each: each.target)
    reached = [make_cloud(each).ood_accuracy for each in of_target.values()]
    name = f"mean of {len(reached)} (OOD {100 * min(reached):.1f}–{100 * max(reached):.1f})"
    return (
        name, cloud.setting.label, *_accuracies(cloud), _worst(results, is_source=False),
        _worst(results, is_source=True), cloud.runs,
        seeds_text(cloud.fewest_seeds, cloud.most_seeds), _steps(results),
    )  # fmt: skip


def _accuracies(cloud: Cloud) -> tuple[Spread, Spread | None]:
    ids, oods = (
        spread_of(accuracy, found, found and found.standard_error)
        for accuracy, found in _measured(cloud)
    )
    return ids, None if math.isnan(oods.value) else oods


def _centre_cells(
    cloud: Cloud, changes: tuple[PercentagePoints | None, PercentagePoints | None]
) -> tuple[CellValue, ...]:
    return (
        cloud.dataset,
        cloud.setting.label,
        *(
            spread_of(accuracy, found, found and found.half_interval)
            for accuracy, found in _measured(cloud)
        ),
        *changes,
        len(cloud.targets),
        cells_text(cloud),
        cloud.runs,
        seeds_text(cloud.fewest_seeds, cloud.most_seeds),
        cloud.ways,
    )


def _changes(
    baseline: Sequence[Outcome], others: Sequence[Outcome]
) -> tuple[PercentagePoints | None, PercentagePoints | None]:
    """Return the change of ID and OOD accuracy, as in the table of differences.

    None: ID accuracies on different images are not comparable.
    """
    changes = paired_changes(pair_up(baseline, others)).values()
    if not changes:
        return None, None
    ids, oods = (statistics.fmean(each[at] for each in changes) for at in (0, 1))
    is_measured_alike = baseline[0].setting.measured_on == others[0].setting.measured_on
    return PercentagePoints(ids) if is_measured_alike else None, PercentagePoints(oods)


def _measured(cloud: Cloud) -> tuple[tuple[float, Estimate | None], tuple[float, Estimate | None]]:
    return (cloud.id_accuracy, cloud.id_estimate), (cloud.ood_accuracy, cloud.ood_estimate)


def spread_of(accuracy: float, found: Estimate | None, error: float | None) -> Spread:
    """Return an accuracy with its ±."""
    return Spread(accuracy, error, found and found.deviation, found.n if found else 0)


def few_seeds(rows: Iterable[Sequence[CellValue]]) -> Iterator[str]:
    """Yield notes for rows with too few seeds for ±."""
    spreads = [cell for row in rows for cell in row if isinstance(cell, Spread)]
    if any(each.has_too_few for each in spreads):
        yield TOO_FEW
    if any(each.deviation is None for each in spreads):
        yield ONE_SEED


def _covered_cells(results: Sequence[Outcome]) -> frozenset[tuple[str, Cell]]:
    """Return the cells of the targets that a setting has results in."""
    return frozenset((each.target, each.cell) for each in results)


def cells_text(cloud: Cloud) -> str:
    """Write how many cells each target has."""
    return seeds_text(min(cloud.cells), max(cloud.cells))


def _worst(results: Sequence[Outcome], *, is_source: bool) -> Share | None:
    """Return the domain with the lowest accuracy of any target's results, and that accuracy."""
    found = worst_domain(results, is_source=is_source)
    return None if found is None else Share(found[1].mean, found[0])


def _steps(results: Sequence[Outcome]) -> str:
    return ", ".join(f"{steps:,}" for steps in sorted({each.steps for each in results}))
