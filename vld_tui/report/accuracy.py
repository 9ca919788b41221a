"""The tables of what each setting reached: by target, and at the centre of its cloud."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Final

from vld_tui.report.tables import CellValue, Points, Share, Spread, Table, TableColumn
from vld_tui.statistics import Estimate
from vld_tui.study.bootstrap import find_baseline
from vld_tui.study.cloud import Cloud, clouds, make_cloud
from vld_tui.study.outcomes import Outcome, grouped, in_full, settings_of, with_ood

ERROR: Final = "_standard_error"
INTERVAL: Final = "_half_interval"
UNLIKE: Final = (
    "Some settings lack targets or cells that others have: their means are of other things, and "
    "cannot be compared yet."
)
NO_OOD: Final = (
    "Runs without a target train on every domain: they have no OOD accuracy, and are in no other "
    "table or figure."
)

_BY_TARGET: Final = (
    TableColumn("dataset", "data set", right=False, rank=40),
    TableColumn("target", "target", right=False),
    TableColumn("setting", "setting", right=False),
    TableColumn("id_accuracy", "ID %", parts=("", ERROR)),
    TableColumn("ood_accuracy", "OOD %", parts=("", ERROR)),
    TableColumn("worst_domain", "worst domain %", rank=30, parts=("_accuracy", "")),
    TableColumn("worst_source", "worst source %", rank=20, parts=("_accuracy", "")),
    TableColumn("runs", "runs", rank=60),
    TableColumn("seeds", "seeds", rank=70),
    TableColumn("steps", "steps", rank=50),
)
_CENTRES: Final = (
    TableColumn("dataset", "data set", right=False),
    TableColumn("setting", "setting", right=False),
    TableColumn("id_accuracy", "ID %", parts=("", INTERVAL)),
    TableColumn("ood_accuracy", "OOD %", parts=("", INTERVAL)),
    TableColumn("id_change", "ID change", rank=80),
    TableColumn("ood_change", "OOD change", rank=80),
    TableColumn("targets", "targets", rank=60),
    TableColumn("cells", "cells", rank=50, right=False),
    TableColumn("runs", "runs", rank=70),
    TableColumn("seeds", "seeds", rank=70),
    TableColumn("points", "points", rank=40),
)


def by_target(results: Sequence[Outcome]) -> Table:
    """Return accuracies by data set, target and setting, and beside them never alone the mean."""
    full = in_full(results)
    rows: list[tuple[CellValue, ...]] = []
    breaks: list[int] = []
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
        if len({each.target for each in measured}) > 1:
            breaks.append(len(rows))
            of_setting = grouped(measured, lambda each: each.setting)
            rows += [(dataset, *_mean_cells(of_setting[s])) for s in settings_of(measured)]
    notes: tuple[str, ...] = (
        "Mean over cells of the mean over seeds, ± standard error over seeds.",
        "Accuracies are those at each run's selected step, the one with the best ID accuracy.",
        "Worst domain: the lowest accuracy of any domain, the target's among them.",
    )
    if len(with_ood(full)) < len(full):
        notes += (NO_OOD,)
    title = "Accuracy by target"
    return Table("results", title, _BY_TARGET, tuple(rows), notes, tuple(breaks))


def centres(results: Sequence[Outcome]) -> Table:
    """Return the centre of each setting's cloud, and what it gives up on ID for OOD."""
    found = clouds(results)
    known = {(cloud.dataset, cloud.setting): cloud for cloud in found}
    rows: list[tuple[CellValue, ...]] = []
    breaks: list[int] = []
    notes: tuple[str, ...] = ()
    for dataset, of_dataset in grouped(found, lambda cloud: cloud.dataset).items():
        if len({_places(cloud) for cloud in of_dataset}) > 1:
            notes = (UNLIKE,)
        breaks += [len(rows)] if rows else []
        settings = [cloud.setting for cloud in of_dataset]
        for cloud in of_dataset:
            baseline = known[dataset, find_baseline(cloud.setting, settings)]
            rows.append(_centre_cells(cloud, baseline))
    notes += (
        "Mean over cells, then over targets, of the mean over seeds; ± half the 95% interval "
        "(Student's t) over the seeds that every cell of every target has, from three of them on.",
        "Changes are in points against no dropout, or the first setting.",
        "Points are the ways to pick one cell for each target: they are no runs.",
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
    worst = [found for each in of_target.values() if (found := _worst(each, is_source=False))]
    sources = [found for each in of_target.values() if (found := _worst(each, is_source=True))]
    return (
        name, cloud.setting.label, *_accuracies(cloud), min(worst, default=None),
        min(sources, default=None), cloud.runs,
        seeds_text(cloud.fewest_seeds, cloud.most_seeds), _steps(results),
    )  # fmt: skip


def _accuracies(cloud: Cloud) -> tuple[Spread, Spread | None]:
    ids = Spread(cloud.id_accuracy, standard_error(cloud.id_estimate))
    if math.isnan(cloud.ood_accuracy):
        return ids, None
    return ids, Spread(cloud.ood_accuracy, standard_error(cloud.ood_estimate))


def standard_error(found: Estimate | None) -> float | None:
    """Return the standard error of a mean; None for a single value."""
    if found is None or found.deviation is None:
        return None
    return float(found.deviation / found.n**0.5)


def _centre_cells(cloud: Cloud, baseline: Cloud) -> tuple[CellValue, ...]:
    ids, oods = cloud.id_estimate, cloud.ood_estimate
    is_like = cloud.setting != baseline.setting and _places(cloud) == _places(baseline)
    id_change = Points(cloud.id_accuracy - baseline.id_accuracy)
    ood_change = Points(cloud.ood_accuracy - baseline.ood_accuracy)
    return (
        cloud.dataset,
        cloud.setting.label,
        Spread(cloud.id_accuracy, ids and ids.interval),
        Spread(cloud.ood_accuracy, oods and oods.interval),
        id_change if is_like else None,
        ood_change if is_like else None,
        len(cloud.targets),
        cells_text(cloud),
        cloud.runs,
        seeds_text(cloud.fewest_seeds, cloud.most_seeds),
        cloud.ways,
    )


def _places(cloud: Cloud) -> frozenset[tuple[str, int]]:
    """Return the targets and how many cells each has."""
    return frozenset(zip(cloud.targets, cloud.cells, strict=True))


def cells_text(cloud: Cloud) -> str:
    """Write how many cells each target has."""
    return seeds_text(min(cloud.cells), max(cloud.cells))


def _worst(results: Sequence[Outcome], *, is_source: bool) -> Share | None:
    """Return the domain with the lowest mean accuracy over runs, and that accuracy."""
    values: dict[str, list[float]] = {}
    for each in results:
        for name, accuracy in each.domains.items():
            if not (is_source and name == each.target):
                values.setdefault(name, []).append(accuracy)
    means = [Share(statistics.fmean(found), name) for name, found in values.items()]
    return min(means, default=None)


def _steps(results: Sequence[Outcome]) -> str:
    return ", ".join(f"{steps:,}" for steps in sorted({each.steps for each in results}))
