"""Curves as arrays, made of packed series. Apart from the feed, because numpy takes a moment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vld_tui.feed import CurveKey
from vld_tui.store.metrics import MetricSeries
from vld_tui.views.raster import Values


def as_arrays(
    series: Sequence[MetricSeries], arm: str | None = None
) -> dict[CurveKey, tuple[Values, Values]]:
    """Return the curves that series of one arm make up; None: of all, if there is only one.

    A domain that is called ``id`` or ``ood`` does not hide what is over all domains.
    """
    return {
        (each.split, each.domain, each.name): (
            np.array(each.points.steps, dtype=np.float64),
            np.array(each.points.values, dtype=np.float64),
        )
        for each in sorted(series, key=lambda each: each.is_judged)
        if arm in (None, each.arm)
    }
