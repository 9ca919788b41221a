"""Confidence intervals for means over few targets or few seeds.

Student's t keeps its level where values are independent and about normal, as seeds are. The
studentised bootstrap (bootstrap-t; Efron & Tibshirani 1993, chapter 12) takes no normal
distribution; plain percentiles of bootstrap means leave out the truth in up to a fifth of cases of
four targets that differ. Neither keeps its level for targets that are correlated, or of which few
are a shift: ``benchmarks/coverage.py`` measures how far they are off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vld_tui.runs.statistics import FEWEST, t_975

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

Values = npt.NDArray[np.float64]
Interval = tuple[float, float]


class Inference(NamedTuple):
    """A 95% interval of the population mean, and the matching two-sided p-value."""

    interval: Interval
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


def bootstrap_interval(values: Sequence[Values], resamples: int = RESAMPLES) -> Interval | None:
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
