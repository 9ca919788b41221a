"""Curves as arrays, from packed series; a separate module because importing numpy is slow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vld_tui.runs.metrics import CurveKey, MetricSeries


def as_arrays(
    series: Sequence[MetricSeries], own_arm: str
) -> dict[CurveKey, tuple[Values, Values]]:
    """Return the curves of series; those of other arms have names such as ``averaged accuracy``.

    A domain named ``id`` or ``ood`` does not replace the curve over all domains.
    """
    return {
        (each.split, each.domain, curve_name(each.name, each.arm, own_arm)): (
            np.array(each.points.steps, dtype=np.float64),
            np.array(each.points.values, dtype=np.float64),
        )
        for each in sorted(series, key=lambda each: each.is_judged)
    }


def curve_name(name: str, arm: str, own_arm: str) -> str:
    """Return the metric name in a curve's key."""
    return name if arm == own_arm else f"{arm} {name}"


Values = npt.NDArray[np.float64]
