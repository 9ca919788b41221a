"""Intervals over seeds and targets: Student's t, the bootstrap, and comparisons of settings."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np

from vld_tui.runs.curves import Values
from vld_tui.runs.statistics import FEWEST, t_975
from vld_tui.study.results.outcomes import (
    Cell,
    Outcome,
    Quantity,
    Seed,
    Setting,
    grouped,
    in_full,
    mean_accuracies,
    settings_of,
    with_ood,
)

RESAMPLES: Final = 10_000
LEVEL: Final = 0.05
FEW: Final = 6
"""Number of values below which a sign test cannot reach 5%."""
FEWEST_DRAWN: Final = 4
"""Targets below which a bootstrap has too few to draw from."""
NO_SPREAD: Final = 1e-12
"""Deviations below which values count as equal up to rounding, so that their spread says nothing
about chance."""
_NOISE_SEED: Final = 0
POWER: Final = 0.8
MOST_SEEDS: Final = 10_000
"""Number of seeds above which a difference counts as undetectable."""

Bounds = tuple[float, float]
Verdict = Literal["better", "worse", "unclear"]
Differences = Mapping[str, Mapping[Seed, float]]
"""OOD accuracy of one setting less that of another, by target and seed."""


class Inference(NamedTuple):
    """A 95% interval of the population mean, and the matching two-sided p-value."""

    interval: Bounds
    p_value: float


def infer(values: Values, mean: float | None = None) -> Inference | None:
    """Return the t interval of the mean of independent values, (n,), exact for normal values.

    None for fewer than :data:`~vld_tui.runs.statistics.FEWEST` values, or if all are equal: an
    interval of zero width would claim that other values are known exactly.

    Args:
        values: such as a difference for each seed.
        mean: a better estimate to centre the interval on; None: the mean of the values.
    """
    from scipy import special  # takes a moment to import

    if len(values) < FEWEST:
        return None
    own_mean, error = _mean_and_error(values)
    if error < NO_SPREAD:
        return None
    centre = own_mean if mean is None else mean
    freedom = len(values) - 1
    half = t_975(freedom) * error
    p_value = 2 * float(special.stdtr(freedom, -abs(centre) / error))
    return Inference((centre - half, centre + half), p_value)


def infer_targets(means: Values) -> Inference | None:
    """Return the interval for other targets from target means: as :func:`infer`, but with a
    p-value of at least :func:`least_p`, since the differences may not be normal."""
    found = infer(means)
    return found and found._replace(p_value=max(found.p_value, least_p(len(means))))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number (Holm 1979): rejecting those below 5% rejects
    any true hypothesis of the family in at most 5% of cases, however they depend on each other."""
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    order = sorted(range(len(p_values)), key=lambda at: p_values[at])
    for rank, at in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[at]))
        adjusted[at] = highest
    return adjusted


def bootstrap_interval(values: Sequence[Values], resamples: int = RESAMPLES) -> Bounds | None:
    """Return the 95% interval of the mean over other targets with other seeds, by a studentised
    bootstrap; None for too few targets, targets that do not differ, or too many draws of no spread
    at all.

    Args:
        values: for each target (seeds,) differences.
        resamples: how often they are drawn again.
    """
    if len(values) < FEWEST_DRAWN:
        return None
    mean, error = _mean_and_error(np.array([each.mean() for each in values]))
    if error < NO_SPREAD:
        return None
    draws = draw_targets(values, resamples)
    away = draws.mean(axis=1) - mean
    errors = draws.std(axis=1, ddof=1) / len(values) ** 0.5
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where((errors == 0) & (away == 0), 0.0, away / errors)
        low, high = np.quantile(ratios, [LEVEL / 2, 1 - LEVEL / 2])
    if not np.isfinite([low, high]).all():
        return None
    return float(mean - high * error), float(mean - low * error)


def draw_targets(values: Sequence[Values], resamples: int = RESAMPLES) -> Values:
    """Draw targets, then seeds within each, again and again.

    Args:
        values: for each target (seeds,) differences.
        resamples: how often.

    Returns:
        (resamples, targets) means over the seeds drawn, the same at every call.
    """
    noise = np.random.default_rng(_NOISE_SEED)
    counts = np.array([len(each) for each in values])
    padded = np.zeros((len(values), counts.max()))
    for row, each in zip(padded, values, strict=True):
        row[: len(each)] = each
    means = np.zeros((resamples, len(values)))
    for place in range(len(values)):
        target = noise.integers(len(values), size=resamples)
        drawn = noise.random((resamples, counts.max())) * counts[target][:, None]
        is_drawn = np.arange(counts.max()) < counts[target][:, None]
        differences = padded[target[:, None], drawn.astype(int)]
        means[:, place] = (differences * is_drawn).sum(axis=1) / counts[target]
    return means


def least_p(values: int) -> float:
    """Return the lowest p-value that so many independent values allow: that of all having one
    sign by luck."""
    return min(1.0, 2.0 ** (1 - values))


def _mean_and_error(means: Values) -> tuple[float, float]:
    return float(means.mean()), float(means.std(ddof=1)) / len(means) ** 0.5


class Pair(NamedTuple):
    """Accuracies of one setting less those of another, of a run each, as shares."""

    target: str
    seed: Seed
    cell: Cell
    id_difference: float
    ood_difference: float


class Comparison(NamedTuple):
    """A setting against a baseline on one data set: OOD accuracies, as shares.

    ``difference`` is the mean over targets of :func:`paired_changes`.

    Over seeds, on these targets: ``seeds_interval`` (95%, Student's t) and ``seeds_p_value`` come
    from the ``shared_seeds`` that every target has; None for fewer than three, or if they do not
    differ. ``deviation`` is the standard deviation between them; None for fewer than two.
    ``seeds`` is the smallest number of seeds of a target. ``seeds_needed`` is how many would detect
    the difference with 80% power; None: unknown, or more than :data:`MOST_SEEDS`.

    Over targets: ``interval`` and ``p_value``; None for fewer than three targets, if they do not
    differ, or if a target has only one seed. ``bootstrap_interval`` covers the same, but needs
    more targets.

    Adjusted p-values (Holm) are over all ``comparisons`` on the data set.
    """

    dataset: str
    baseline: Setting
    setting: Setting
    difference: float
    interval: Bounds | None
    bootstrap_interval: Bounds | None
    seeds_interval: Bounds | None
    p_value: float | None
    targets: int
    seeds: int
    deviation: float | None
    seeds_needed: int | None
    shared_seeds: int
    seeds_p_value: float | None
    comparisons: int = 1
    p_adjusted: float | None = None
    seeds_p_adjusted: float | None = None

    @property
    def has_equal_seeds(self) -> bool:
        """Return whether there are several seeds that all agree."""
        return self.deviation is not None and self.deviation < NO_SPREAD

    @property
    def more_seeds(self) -> int | None:
        """Return how many more seeds are needed to detect the difference on these targets."""
        return None if self.seeds_needed is None else max(0, self.seeds_needed - self.seeds)


class TargetChange(NamedTuple):
    """How much better a setting is than its baseline on one target, as shares.

    ``quantity`` names what is compared out of distribution. ``change`` is the mean over ``seeds``
    of paired differences; ``interval`` is its 95% interval over seeds (Student's t), None for
    fewer than three or if they do not differ.
    """

    dataset: str
    target: str
    baseline: Setting
    setting: Setting
    quantity: Quantity
    change: float
    interval: Bounds | None
    seeds: int

    @property
    def verdict(self) -> Verdict:
        """Return ``better`` or ``worse`` if the interval excludes zero, else ``unclear``."""
        if self.interval is None or self.interval[0] <= 0 <= self.interval[1]:
            return "unclear"
        if self.quantity.higher_is_better is None:
            return "unclear"
        is_higher = self.interval[0] > 0
        return "better" if is_higher == self.quantity.higher_is_better else "worse"


def target_changes(results: Sequence[Outcome], quantity: Quantity) -> list[TargetChange]:
    """Return each setting against its baseline on each target, by an OOD value.

    Results without the value are left out.
    """
    found = []
    known = in_full(measured_by(results, quantity))
    for of_target in grouped(known, lambda each: (each.dataset, each.target)).values():
        of_setting = grouped(of_target, lambda each: each.setting)
        settings = settings_of(of_target)
        for setting in settings:
            baseline = find_baseline(setting, settings)
            pairs = pair_up(of_setting[baseline], of_setting[setting])
            if baseline == setting or not pairs:
                continue
            (target, of_seed), *_ = paired_differences(pairs).items()
            over_seeds = infer(np.array(list(of_seed.values())))
            change = paired_changes(pairs)[target][1]
            found.append(
                TargetChange(
                    of_target[0].dataset, target, baseline, setting, quantity, change,
                    over_seeds and over_seeds.interval, len(of_seed),
                )
            )  # fmt: skip
    return found


def measured_by(results: Iterable[Outcome], quantity: Quantity) -> list[Outcome]:
    """Return the outcomes that have a value, which replaces their OOD accuracy."""
    return [
        msgspec.structs.replace(each, ood_accuracy=value)
        for each in results
        if (value := quantity.of(each)) is not None
    ]


def compare_settings(results: Sequence[Outcome]) -> list[Comparison]:
    """Return each setting against its baseline, on each data set that has both."""
    found = []
    for of_dataset in grouped(with_ood(in_full(results)), lambda each: each.dataset).values():
        of_setting = grouped(of_dataset, lambda each: each.setting)
        settings = settings_of(of_dataset)
        pairs = [
            compare_pair(of_setting[baseline], of_setting[setting])
            for setting in settings
            if (baseline := find_baseline(setting, settings)) != setting
        ]
        found += _adjusted([each for each in pairs if each is not None])
    return found


def _adjusted(family: Sequence[Comparison]) -> list[Comparison]:
    """Return the comparisons on one data set with p-values adjusted for their number."""
    over_targets = _holm_of_known([each.p_value for each in family])
    over_seeds = _holm_of_known([each.seeds_p_value for each in family])
    return [
        each._replace(comparisons=len(family), p_adjusted=p, seeds_p_adjusted=seeds_p)
        for each, p, seeds_p in zip(family, over_targets, over_seeds, strict=True)
    ]


def _holm_of_known(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust for all comparisons; one without a p-value counts as not rejected."""
    adjusted = holm([1.0 if p is None else p for p in p_values])
    return [None if p is None else each for p, each in zip(p_values, adjusted, strict=True)]


def find_baseline(setting: Setting, settings: Sequence[Setting]) -> Setting:
    """Return a setting's baseline: the same without dropout and with the run's own network, or
    else the first setting."""
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
    pairs = pair_up(baseline, others)
    if not pairs:
        return None
    of_target = list(paired_differences(pairs).values())
    fewest = min(map(len, of_target))
    has_several = fewest > 1 and len(of_target) > 1
    means = [ood for _, ood in paired_changes(pairs).values()]
    difference = statistics.fmean(means)
    over_targets = infer_targets(np.array(means)) if has_several else None
    of_seeds = _means_of_seeds(of_target)
    over_seeds = infer(np.array(of_seeds), difference)
    deviation = statistics.stdev(of_seeds) if len(of_seeds) > 1 else None
    values = [np.array(list(of_seed.values())) for of_seed in of_target]
    return Comparison(
        dataset=baseline[0].dataset,
        baseline=baseline[0].setting,
        setting=others[0].setting,
        difference=difference,
        interval=over_targets and over_targets.interval,
        bootstrap_interval=bootstrap_interval(values) if has_several else None,
        seeds_interval=over_seeds and over_seeds.interval,
        p_value=over_targets and over_targets.p_value,
        targets=len(means),
        seeds=fewest,
        deviation=deviation,
        seeds_needed=None if deviation is None else _seeds_needed(difference, deviation),
        shared_seeds=len(of_seeds),
        seeds_p_value=over_seeds and over_seeds.p_value,
    )


def pair_up(baseline: Sequence[Outcome], others: Sequence[Outcome]) -> list[Pair]:
    """Return the differences of runs that both settings have."""

    def by_cell(results: Sequence[Outcome]) -> dict[tuple[str, Seed, Cell], tuple[float, float]]:
        alike = grouped(results, lambda each: (each.target, each.seed, each.cell))
        return {place: mean_accuracies(members) for place, members in alike.items()}

    before, after = by_cell(baseline), by_cell(others)
    return [
        Pair(*place, after[place][0] - id_accuracy, after[place][1] - ood_accuracy)
        for place, (id_accuracy, ood_accuracy) in before.items()
        if place in after
    ]


def paired_differences(pairs: Sequence[Pair]) -> Differences:
    """Return the OOD differences by target and seed, each a mean over the cells of its pairs."""
    return {
        target: {
            seed: statistics.fmean(each.ood_difference for each in cells)
            for seed, cells in grouped(of_target, lambda pair: pair.seed).items()
        }
        for target, of_target in grouped(pairs, lambda pair: pair.target).items()
    }


def paired_changes(pairs: Sequence[Pair]) -> dict[str, tuple[float, float]]:
    """Return the change of ID and of OOD accuracy by target: as accuracies are, the mean over
    cells of the mean over seeds, but of the pairs only."""

    def mean(of_target: Sequence[Pair]) -> tuple[float, float]:
        of_cell = grouped(of_target, lambda pair: pair.cell).values()
        ids = (statistics.fmean(each.id_difference for each in alike) for alike in of_cell)
        oods = (statistics.fmean(each.ood_difference for each in alike) for alike in of_cell)
        return statistics.fmean(ids), statistics.fmean(oods)

    return {
        target: mean(found) for target, found in grouped(pairs, lambda pair: pair.target).items()
    }


def seeds_to_tell(difference: float, deviation: float) -> int | None:
    """Return how many seeds a paired t test needs to detect a difference with 80% power.

    Args:
        difference: the true mean paired difference.
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
    from scipy import special  # stats takes a second to import

    freedom = seeds - 1
    critical = special.stdtrit(freedom, 1 - LEVEL / 2)
    shift = min(effect * seeds**0.5, 30.0)  # beyond, the power is 1 and the series slow
    below = special.nctdtr(freedom, shift, [critical, -critical])
    upper, lower = 1 - below[0], np.nan_to_num(below[1])
    return float(upper + lower)


def _seeds_needed(difference: float, deviation: float) -> int | None:
    """Return how many seeds detect a difference and have an interval; None also if seeds do not
    differ."""
    if deviation < NO_SPREAD:
        return None
    needed = seeds_to_tell(difference, deviation)
    return None if needed is None else max(FEWEST, needed)


def _means_of_seeds(of_target: Sequence[Mapping[Seed, float]]) -> list[float]:
    """Return the mean over targets of each seed that every target has."""
    shared = [seed for seed in of_target[0] if all(seed in each for each in of_target)]
    return [statistics.fmean(each[seed] for each in of_target) for seed in shared]
