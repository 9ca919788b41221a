"""Whether two settings differ out of distribution, by paired differences.

Runs of two settings are paired by target, cell and seed; the differences are averaged over the
cells. What is left, a difference for each target and seed, tells of other targets by its means
over seeds, and of other seeds by its means over targets; beside that targets, and seeds within
each, are drawn again with replacement.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from vld_tui.study.intervals import LEVEL, Interval, bootstrap_interval, infer
from vld_tui.study.outcomes import (
    Outcome,
    Seed,
    Setting,
    grouped,
    in_full,
    mean_accuracies,
    settings_of,
    with_ood,
)

POWER: Final = 0.8
MOST_SEEDS: Final = 10_000
"""Seeds beyond which a difference is as good as none."""

Differences = Mapping[str, Mapping[Seed, float]]
"""OOD accuracy of one setting less that of another, by target and seed."""


class Comparison(NamedTuple):
    """A setting against a baseline on one data set: OOD accuracies, as shares.

    ``interval`` (95%, Student's t) is of other seeds and other targets, and ``p_value`` goes with
    it; None with one target, or where a target has one seed only. ``bootstrap_interval`` is of
    the same, None also for too few targets. ``seeds_interval`` is of other seeds on these
    targets, ``deviation`` that of the mean over them between the seeds that all of them have;
    None for fewer than two. ``seeds_needed`` is how many would tell such a difference of these
    targets with 80% power; None: no number that anyone runs, or not known.
    """

    dataset: str
    baseline: Setting
    setting: Setting
    difference: float
    interval: Interval | None
    bootstrap_interval: Interval | None
    seeds_interval: Interval | None
    p_value: float | None
    targets: int
    seeds: int
    deviation: float | None
    seeds_needed: int | None

    @property
    def more_seeds(self) -> int | None:
        """Return how many seeds more are needed to tell the difference of these targets."""
        return None if self.seeds_needed is None else max(0, self.seeds_needed - self.seeds)


def compare_settings(results: Sequence[Outcome]) -> list[Comparison]:
    """Return each setting against its baseline, on each data set that has both."""
    found = []
    for of_dataset in grouped(with_ood(in_full(results)), lambda each: each.dataset).values():
        of_setting = grouped(of_dataset, lambda each: each.setting)
        settings = settings_of(of_dataset)
        for setting in settings:
            baseline = find_baseline(setting, settings)
            if baseline != setting:
                pair = compare_pair(of_setting[baseline], of_setting[setting])
                found += [] if pair is None else [pair]
    return found


def find_baseline(setting: Setting, settings: Sequence[Setting]) -> Setting:
    """Return what a setting is held against: no dropout, all else the same, the run's own
    network; else the first one."""
    others = [each for each in settings if each.arm is None] or list(settings)

    def distance(other: Setting) -> tuple[bool, int]:
        has_dropout = bool(other.value("dropout_rate"))
        differing = sum(
            value != setting.value(name) for name, value in other.values if name != "dropout_rate"
        )
        return has_dropout, differing

    if others[0].value("dropout_rate") is None:
        return others[0]
    return min(others, key=distance)


def compare_pair(baseline: Sequence[Outcome], others: Sequence[Outcome]) -> Comparison | None:
    """Return how two settings' results on one data set differ; None when none can be paired."""
    differences = paired_differences(baseline, others)
    if not differences:
        return None
    values = [np.array(list(of_seed.values())) for of_seed in differences.values()]
    fewest = min(map(len, values))
    has_several = fewest > 1 and len(values) > 1
    over_targets = infer(np.array([each.mean() for each in values])) if has_several else None
    of_seeds = _means_of_seeds(differences)
    is_spread = len(of_seeds) > 1
    deviation = statistics.stdev(of_seeds) if is_spread else None
    difference = statistics.fmean(float(each.mean()) for each in values)
    return Comparison(
        dataset=baseline[0].dataset,
        baseline=baseline[0].setting,
        setting=others[0].setting,
        difference=difference,
        interval=over_targets and over_targets.interval,
        bootstrap_interval=bootstrap_interval(values) if has_several else None,
        seeds_interval=infer(np.array(of_seeds)).interval if is_spread else None,
        p_value=over_targets and over_targets.p_value,
        targets=len(values),
        seeds=fewest,
        deviation=deviation,
        seeds_needed=None if deviation is None else seeds_to_tell(difference, deviation),
    )


def paired_differences(baseline: Sequence[Outcome], others: Sequence[Outcome]) -> Differences:
    """Return the differences by target and seed, each a mean over the cells that both have."""

    def by_place(results: Sequence[Outcome]) -> dict[tuple[str, Seed, object], float]:
        alike = grouped(results, lambda each: (each.target, each.seed, each.cell))
        return {place: mean_accuracies(members)[1] for place, members in alike.items()}

    before, after = by_place(baseline), by_place(others)
    cells: dict[str, dict[Seed, list[float]]] = {}
    for place, accuracy in before.items():
        if place in after:
            target, seed, _ = place
            cells.setdefault(target, {}).setdefault(seed, []).append(after[place] - accuracy)
    return {
        target: {seed: statistics.fmean(values) for seed, values in of_seed.items()}
        for target, of_seed in cells.items()
    }


def seeds_to_tell(difference: float, deviation: float) -> int | None:
    """Return how many seeds a paired t test needs to tell a difference with 80% power.

    Args:
        difference: the mean paired difference that is really there.
        deviation: the standard deviation of paired differences between seeds.

    Returns:
        At least 2; None when it would take more than ``MOST_SEEDS``.
    """
    if difference == 0:
        return None
    if deviation <= abs(difference) * 1e-6:
        return 2
    effect = abs(difference) / deviation
    low, high = 2, 2
    while _power(effect, high) < POWER:
        if high >= MOST_SEEDS:
            return None
        low, high = high, min(2 * high, MOST_SEEDS)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _power(effect, middle) >= POWER else (middle + 1, high)
    return high


def _power(effect: float, seeds: int) -> float:
    """Return the power of a two-sided paired t test, by the noncentral t distribution."""
    from scipy import special  # noqa: PLC0415 - stats takes a second to import

    freedom = seeds - 1
    critical = special.stdtrit(freedom, 1 - LEVEL / 2)
    shift = min(effect * seeds**0.5, 30.0)  # beyond, the power is 1 and the series slow
    below = special.nctdtr(freedom, shift, [critical, -critical])
    upper, lower = 1 - below[0], np.nan_to_num(below[1])
    return float(upper + lower)


def _means_of_seeds(differences: Differences) -> list[float]:
    """Return the mean over targets of each seed that every target has."""
    of_target = list(differences.values())
    shared = [seed for seed in of_target[0] if all(seed in each for each in of_target)]
    return [statistics.fmean(each[seed] for each in of_target) for seed in shared]
