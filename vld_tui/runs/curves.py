"""Curves as arrays, made of packed series. Apart from the feed, because numpy takes a moment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vld_tui.runs.metrics import CurveKey, MetricSeries


def as_arrays(
    series: Sequence[MetricSeries], own_arm: str
) -> dict[CurveKey, tuple[Values, Values]]:
    """Return the curves that series make up; those of other arms are of ``averaged accuracy``.

    A domain that is called ``id`` or ``ood`` does not hide what is over all domains.
    """
    return {
        (each.split, each.domain, curve_name(each.name, each.arm, own_arm)): (
            np.array(each.points.steps, dtype=np.float64),
            np.array(each.points.values, dtype=np.float64),
        )
        for each in sorted(series, key=lambda each: each.is_judged)
    }


def curve_name(name: str, arm: str, own_arm: str) -> str:
    """Return a metric's name in a curve's key."""
    return name if arm == own_arm else f"{arm} {name}"


Values = npt.NDArray[np.float64]
