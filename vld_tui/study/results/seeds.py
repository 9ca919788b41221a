"""What came of a study so far: accuracies by what is compared and by target."""

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
    """What the finished runs of one target reached, with the same values of what is compared.

    ``id_accuracy`` and ``ood_accuracy`` are means over the cells of what is chosen among, each a
    mean over seeds; None before the first run is finished. Their deviations and ``n`` are of the
    seeds that have all of these cells: others differ in more than chance. ``runs`` are finished,
    of ``expected``.
    """

    dataset: str
    target: str | None
    values: tuple[Any, ...]
    ood_accuracy: Estimate | None
    runs: int
    expected: int
    id_accuracy: Estimate | None = None


def results_of(standing: Standing) -> Iterator[Result]:
    """Yield the results in the order of the study; runs with a source held out do not count."""
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
    """Return the mean over targets of the mean over cells of the mean over seeds, and the
    deviation between the seeds that have every cell of every target; None when there is no run
    that measured it."""
    return over_seeds_of(group_by_seed(runs), measured)


def over_seeds_of(
    groups: Sequence[RunGroup], measured: Callable[[Run], float | None]
) -> Estimate | None:
    """Return the same of runs that are grouped by all but their seeds."""
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
    """Return what was measured, by target, cell and seed; runs of one seed count as one."""
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
