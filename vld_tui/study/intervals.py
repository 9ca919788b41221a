"""How far a mean over targets, or over seeds, can be trusted when there are few of them.

Percentiles of bootstrap means leave out the truth far too often there: of four targets that differ
in up to a fifth of cases, not in 5%. What is here holds its level: Student's t, and from ``FEW``
values on the studentised bootstrap (bootstrap-t; Efron & Tibshirani 1993, chapter 12).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

RESAMPLES: Final = 10_000
LEVEL: Final = 0.05
FEW: Final = 6
"""Values below which signs alone cannot tell at 5%, and a bootstrap has too few to draw from."""
_NOISE_SEED: Final = 0

Values = npt.NDArray[np.float64]
Interval = tuple[float, float]


class Inference(NamedTuple):
    """What values tell of the mean of all that might have been drawn: a 95% interval, and a
    two-sided p-value of the same kind."""

    interval: Interval
    p_value: float
    is_bootstrap: bool


def infer(means: Values, draws: Values | None = None) -> Inference:
    """Return what independent values tell of their mean.

    Args:
        means: (n,), n at least 2.
        draws: (resamples, n) the same drawn again; None: none, as for few values.
    """
    found = None
    if draws is not None and len(means) >= FEW:
        found = _bootstrapped(means, draws)
    found = found or _students(means)
    return found._replace(p_value=max(found.p_value, least_p(len(means))))


def infer_over_targets(values: Sequence[Values], resamples: int = RESAMPLES) -> Inference:
    """Return what differences tell of other targets and other seeds.

    Args:
        values: for each of two targets or more (seeds,) differences.
        resamples: how often they are drawn again, where they are.
    """
    means = np.array([each.mean() for each in values])
    return infer(means, draw_targets(values, resamples) if len(values) >= FEW else None)


def infer_over_seeds(means: Values, resamples: int = RESAMPLES) -> Inference:
    """Return what means over these targets, (seeds,), tell of other seeds."""
    drawn = np.random.default_rng(_NOISE_SEED).integers(len(means), size=(resamples, len(means)))
    return infer(means, means[drawn] if len(means) >= FEW else None)


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


def _students(means: Values) -> Inference:
    """Return what Student's t tells, exact where values are normal."""
    from scipy import special  # noqa: PLC0415 - takes a moment to import

    mean, error = _mean_and_error(means)
    freedom = len(means) - 1
    half = float(special.stdtrit(freedom, 1 - LEVEL / 2)) * error
    if error == 0:
        p_value = float(mean == 0)
    else:
        p_value = 2 * float(special.stdtr(freedom, -abs(mean) / error))
    return Inference((mean - half, mean + half), p_value, is_bootstrap=False)


def _bootstrapped(means: Values, draws: Values) -> Inference | None:
    """Return what the distances of drawn means from the mean tell, each in its own standard
    error; None where too many draws have no spread at all."""
    mean, error = _mean_and_error(means)
    if error == 0:
        return None
    away = draws.mean(axis=1) - mean
    errors = draws.std(axis=1, ddof=1) / draws.shape[1] ** 0.5
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where((errors == 0) & (away == 0), 0.0, away / errors)
        low, high = np.quantile(ratios, [LEVEL / 2, 1 - LEVEL / 2])
    if not np.isfinite([low, high]).all():
        return None
    tail = min((ratios >= mean / error).sum(), (ratios <= mean / error).sum())
    p_value = min(1.0, 2 * (1 + int(tail)) / (len(ratios) + 1))
    return Inference(
        (float(mean - high * error), float(mean - low * error)), p_value, is_bootstrap=True
    )


def _mean_and_error(means: Values) -> tuple[float, float]:
    return float(means.mean()), float(means.std(ddof=1)) / len(means) ** 0.5
