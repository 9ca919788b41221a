"""A study's results so far: accuracies by compared fields and target."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vld_tui.runs.run import Run
from vld_tui.runs.statistics import Estimate, estimate
from vld_tui.study.results.groups import RunGroup, group_by_seed
from vld_tui.study.results.outcomes import Seed
from vld_tui.study.standing import Standing


@dataclass(frozen=True)
class Result:
    """Results of the finished runs of one target and one compared setting.

    ``id_accuracy`` and ``ood_accuracy`` are means over cells of means over seeds; None before the
    first run has finished. Their deviations and ``n`` are over the seeds that have all cells,
    since others differ in more than chance. ``runs`` of ``expected`` runs have finished.
    """

    dataset: str
    target: str | None
    values: tuple[Any, ...]
    ood_accuracy: Estimate | None
    runs: int
    expected: int
    id_accuracy: Estimate | None = None


def results_of(standing: Standing) -> Iterator[Result]:
    """Yield the results in the order of the study, without runs with a held-out source."""
    study = standing.study
    found: dict[tuple[str, str | None, tuple[Any, ...]], list[Run | None]] = {}
    for spec, run in zip(study.specs, standing.runs, strict=True):
        if spec.held_out_source is None:
            values = tuple(getattr(spec, name) for name in study.compare)
            found.setdefault((spec.dataset, spec.target, values), []).append(run)
    for (dataset, target, values), runs in found.items():
        finished = [run for run in runs if run is not None and run.status == "finished"]
        yield Result(
            dataset,
            target,
            values,
            ood_accuracy=over_seeds(finished, lambda run: run.ood_accuracy),
            runs=len(finished),
            expected=len(runs),
            id_accuracy=over_seeds(finished, lambda run: run.id_accuracy),
        )


def over_seeds(runs: Sequence[Run], measured: Callable[[Run], float | None]) -> Estimate | None:
    """Return the mean over targets of means over cells of means over seeds, and the deviation
    between the seeds that have every cell of every target; None without a measured run."""
    return over_seeds_of(group_by_seed(runs), measured)


def over_seeds_of(
    groups: Sequence[RunGroup], measured: Callable[[Run], float | None]
) -> Estimate | None:
    """Return the same for runs grouped by everything except their seeds."""
    targets = _by_target(groups, measured)
    if not targets:
        return None
    cells = [cell for of_target in targets for cell in of_target]
    shared = [seed for seed in cells[0] if all(seed in cell for cell in cells)]
    spread = estimate(
        [
            statistics.fmean(statistics.fmean(cell[seed] for cell in each) for each in targets)
            for seed in shared
        ]
    )
    return Estimate(
        mean=statistics.fmean(
            statistics.fmean(statistics.fmean(cell.values()) for cell in each) for each in targets
        ),
        deviation=spread and spread.deviation,
        interval=spread and spread.interval,
        n=len(shared),
    )


def _by_target(
    groups: Sequence[RunGroup], measured: Callable[[Run], float | None]
) -> list[list[dict[Seed, float]]]:
    """Return the values by target, cell and seed; runs of one seed count as one."""
    targets: dict[tuple[str, str | None], list[dict[Seed, float]]] = {}
    for group in groups:
        of_seed: dict[Seed, list[float]] = {}
        for run in group.runs:
            if (value := measured(run)) is not None:
                of_seed.setdefault((run.spec.seed, run.spec.trial_seed), []).append(value)
        if of_seed:
            means = {seed: statistics.fmean(values) for seed, values in of_seed.items()}
            first = group.runs[0].spec
            targets.setdefault((first.dataset, first.target), []).append(means)
    return list(targets.values())
