"""Means over runs with their uncertainty."""

from __future__ import annotations

import math
import statistics
from collections.abc import Hashable, Iterable, Sequence
from typing import Final, NamedTuple

_T_975: Final = (
    12.70620474, 4.30265273, 3.18244631, 2.77644511, 2.57058184, 2.44691185, 2.36462425,
    2.30600414, 2.26215716, 2.22813885, 2.20098516, 2.17881283, 2.16036866, 2.14478669,
    2.13144955, 2.1199053, 2.10981558, 2.10092204, 2.09302405, 2.08596345, 2.07961384,
    2.07387307, 2.06865761, 2.06389856, 2.05953855, 2.05552944, 2.05183052, 2.04840714,
    2.04522964, 2.04227246,
)  # fmt: skip
"""97.5% points of Student's t for 1 to 30 degrees of freedom."""
_NORMAL_975: Final = 1.959963984540054
FEWEST: Final = 3
"""Minimum number of values for an interval; with two it would be ±9 deviations wide."""


class Reading(NamedTuple):
    """A value of one run: ``target`` and ``cell`` are what it is averaged over besides seeds."""

    target: Hashable
    cell: Hashable
    seed: Hashable
    value: float


class Estimate(NamedTuple):
    """A mean over ``n`` values.

    ``deviation`` is their standard deviation, None for a single value. ``half_interval`` is half
    the width of the 95% confidence interval of the mean (Student's t), None for fewer than
    :data:`FEWEST` values.
    """

    mean: float
    deviation: float | None
    half_interval: float | None
    n: int

    @property
    def standard_error(self) -> float | None:
        """Return the standard error of the mean; None for a single value."""
        return None if self.deviation is None else float(self.deviation / self.n**0.5)

    @property
    def has_too_few(self) -> bool:
        """Return whether the values differ but are too few for an interval."""
        return self.deviation is not None and self.n < FEWEST


def half_width(deviation: float, n: int) -> float | None:
    """Return half the width of the 95% interval of a mean of ``n`` values (Student's t); None for
    fewer than :data:`FEWEST`."""
    return None if n < FEWEST else float(t_975(n - 1) * deviation / n**0.5)


def t_975(freedom: int) -> float:
    """Return the 97.5% point of Student's t, exact to 3e-8.

    Beyond the table by the expansion in powers of 1 / freedom (Abramowitz & Stegun, 26.7.5).
    """
    if freedom <= len(_T_975):
        return _T_975[freedom - 1]
    z = _NORMAL_975
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / float(freedom) ** power for power, term in enumerate(terms, start=1))


def estimate(values: Sequence[float]) -> Estimate | None:
    """Return the mean of values with its uncertainty, or None without values."""
    if not values:
        return None
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return _estimate(statistics.fmean(values), deviation, len(values))


def over_seeds(readings: Iterable[Reading]) -> Estimate | None:
    """Return the mean over targets of means over cells of means over seeds; None without readings.

    Deviation, interval and ``n`` are those of the seeds that have every cell of every target,
    since others differ in more than chance. Readings of one seed count as one.
    """
    mean = statistics.fmean
    found: dict[Hashable, dict[Hashable, dict[Hashable, list[float]]]] = {}
    for target, cell, seed, value in readings:
        of_cell = found.setdefault(target, {}).setdefault(cell, {})
        of_cell.setdefault(seed, []).append(value)
    if not found:
        return None
    targets = [
        [{seed: mean(values) for seed, values in cell.items()} for cell in cells.values()]
        for cells in found.values()
    ]
    first, *others = (cell for cells in targets for cell in cells)
    shared = [seed for seed in first if all(seed in cell for cell in others)]
    spread = estimate(
        [mean(mean(cell[seed] for cell in each) for each in targets) for seed in shared]
    )
    whole = mean(mean(mean(cell.values()) for cell in each) for each in targets)
    deviation, half = (spread.deviation, spread.half_interval) if spread else (None, None)
    return Estimate(whole, deviation, half, len(shared))


def of_moments(n: int, mean: float | None, mean_square: float | None) -> Estimate | None:
    """Return the estimate of ``n`` values with this mean and mean of squares.

    The deviation is exact to about 1e-8 of the values' size: enough for accuracies.
    """
    if mean is None or mean_square is None or n == 0:
        return None
    if n == 1:
        return _estimate(mean, None, 1)
    variance = max(0.0, mean_square - mean * mean) * n / (n - 1)
    return _estimate(mean, variance**0.5, n)


def _estimate(mean: float, deviation: float | None, n: int) -> Estimate:
    half = None if deviation is None else half_width(deviation, n)
    return Estimate(mean, deviation, half, n)


class RankCorrelation(NamedTuple):
    """Spearman's rank correlation of ``pairs`` pairs, and its 95% interval.

    ``interval`` is None if the pairs are too few, or in perfect order.
    """

    rho: float
    interval: tuple[float, float] | None
    pairs: int


def rank_correlation(
    groups: Iterable[Sequence[tuple[float, float]]],
) -> RankCorrelation | None:
    """Return Spearman's rank correlation within groups of pairs (x, y), pooled over groups.

    Values are ranked within their group, relative to its size, and ranks are centred, so that a
    group whose values are all higher adds nothing; ties have their mean rank. With one group it is
    Spearman's ρ. The interval is Fisher's with the variance (1 + ρ²/2) / (n − 3) of Bonett and
    Wright, "Sample size requirements for estimating Pearson, Kendall and Spearman correlations",
    Psychometrika 65 (2000); each further group costs n one pair.

    Returns:
        None if no group has pairs that differ in both values.
    """
    known = [group for group in groups if len(group) > 1]
    pairs = sum(len(group) for group in known)
    xs = [rank for group in known for rank in _centred_ranks([x for x, _ in group])]
    ys = [rank for group in known for rank in _centred_ranks([y for _, y in group])]
    spread = math.sqrt(sum(x * x for x in xs) * sum(y * y for y in ys))
    if spread == 0:
        return None
    rho = max(-1.0, min(1.0, sum(x * y for x, y in zip(xs, ys, strict=True)) / spread))
    freedom = pairs - (len(known) - 1) - 3
    if freedom < 1 or math.isclose(abs(rho), 1):
        return RankCorrelation(rho, None, pairs)
    half = _NORMAL_975 * math.sqrt((1 + rho * rho / 2) / freedom)
    middle = math.atanh(rho)
    return RankCorrelation(rho, (math.tanh(middle - half), math.tanh(middle + half)), pairs)


def _centred_ranks(values: Sequence[float]) -> list[float]:
    """Return ranks relative to their number, minus their mean; ties have their mean rank."""
    ordered = sorted(values)
    places: dict[float, list[int]] = {}
    for place, value in enumerate(ordered):
        places.setdefault(value, []).append(place)
    middle = (len(values) - 1) / 2
    return [(statistics.fmean(places[value]) - middle) / len(values) for value in values]
