"""Means over runs, and how far they can be trusted."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Final, NamedTuple

_T_975: Final = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""97.5% points of Student's t for 1 to 30 degrees of freedom."""
_NORMAL_975: Final = 1.96


class Estimate(NamedTuple):
    """A mean over ``n`` values.

    ``deviation`` is their standard deviation, ``interval`` half the width of the 95% confidence
    interval of the mean (Student's t); both None for a single run.
    """

    mean: float
    deviation: float | None
    interval: float | None
    n: int


def estimate(values: Sequence[float]) -> Estimate | None:
    """Return the mean of values and how far it can be trusted; None when there are none."""
    if not values:
        return None
    count = len(values)
    if count == 1:
        return Estimate(values[0], None, None, 1)
    deviation = statistics.stdev(values)
    t = _T_975[count - 2] if count - 2 < len(_T_975) else _NORMAL_975
    return Estimate(statistics.fmean(values), deviation, t * deviation / count**0.5, count)
