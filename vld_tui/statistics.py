"""Means over runs, and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

_T_975: Final = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""97.5% points of Student's t for 1 to 30 degrees of freedom."""
_NORMAL_975: Final = 1.96
FEWEST: Final = 3
"""Values that an interval is made of, at least."""


class Estimate(NamedTuple):
    """A mean over ``n`` values.

    ``deviation`` is their standard deviation, ``interval`` half the width of the 95% confidence
    interval of the mean (Student's t). Both are None for a single run, and the interval for two as
    well: it would be nine deviations wide, which says nothing.
    """

    mean: float
    deviation: float | None
    interval: float | None
    n: int


def estimate(values: Sequence[float]) -> Estimate | None:
    """Return the mean of values and how far it can be trusted; None when there are none."""
    if not values:
        return None
    import statistics  # noqa: PLC0415 - takes a moment, and few lists need it

    deviation = statistics.stdev(values) if len(values) > 1 else None
    return _estimate(statistics.fmean(values), deviation, len(values))


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
    if deviation is None:
        return Estimate(mean, None, None, n)
    if n < FEWEST:
        return Estimate(mean, deviation, None, n)
    t = _T_975[n - 2] if n - 2 < len(_T_975) else _NORMAL_975
    return Estimate(mean, deviation, t * deviation / n**0.5, n)
