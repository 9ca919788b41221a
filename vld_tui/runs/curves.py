"""Curves as arrays, from packed series; a separate module because importing numpy is slow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from engine.protocol import MetricKey
from vld_tui.runs.metrics import MetricSeries

Values = npt.NDArray[np.float64]
Curves = Mapping[MetricKey, tuple[Values, Values]]
"""(n,) steps and (n,) values of each metric; NaN: not finite."""


def as_arrays(series: Sequence[MetricSeries]) -> Curves:
    """Return the curves of packed series."""
    return {
        key: (np.array(points.steps, dtype=np.float64), np.array(points.values, dtype=np.float64))
        for key, points in series
    }
