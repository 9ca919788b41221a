"""How well a score separates unlike images from those like the training images, and errors.

A score is higher for images that are more unlike, as those of :mod:`engine.diagnose.ood_scores`.
Equal scores count as in random order, so no result depends on the order of the images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor

from engine.errors import InputError
from engine.evaluate.confidence import kept_threshold
from engine.protocol.intervals import NORMAL_975

_HALVINGS: Final = 60
CURVE_POINTS: Final = 200
"""Maximum number of points of a risk–coverage curve that are kept to draw it."""


class RocArea(NamedTuple):
    """An area under a ROC curve and its 95% interval, from 0 to 1."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class RiskCoverage:
    """How the error rate falls when the most unlike images are rejected.

    Attributes:
        coverage: shares of images that are kept, rising to 1; at most :data:`CURVE_POINTS`.
        risk: error rate among the kept images.
        area: mean risk over all numbers of kept images; lower is better.
        best_area: the area if all wrong images scored higher than all right ones.
        error_rate: risk at full coverage, and the area expected of a score without information.
    """

    coverage: tuple[float, ...]
    risk: tuple[float, ...]
    area: float
    best_area: float
    error_rate: float


@dataclass(frozen=True)
class Detection:
    """How well one score detects images of the target, and wrong predictions on them.

    Attributes:
        roc: of the target's images against ID images; None without ID images.
        fpr: share of the target's images taken for ID ones by the threshold that keeps 95% of the
            ID images; lower is better; None without ID images.
        errors_roc: of the wrong against the right predictions on the target; None if all
            predictions are right or all are wrong.
        correlation: Spearman's, of minus the score with correctness on the target; None if either
            is constant.
        risk_coverage: on the target.
    """

    roc: RocArea | None
    fpr: float | None
    errors_roc: RocArea | None
    correlation: float | None
    risk_coverage: RiskCoverage


def measure_detection(id_scores: Tensor, target_scores: Tensor, is_right: Tensor) -> Detection:
    """Measure one score.

    Args:
        id_scores: of images of the sources that were not trained on, (n,); may be empty.
        target_scores: of the target's images, (m,).
        is_right: whether the network classifies each image of the target correctly, (m,) bool.

    Raises:
        InputError: if the target has no images or a score is NaN.
    """
    has_id = len(id_scores) > 0
    has_both = bool(is_right.any()) and not bool(is_right.all())
    risk_coverage = risk_coverage_of(target_scores, is_right)
    return Detection(
        roc=roc_area(id_scores, target_scores) if has_id else None,
        fpr=false_positive_rate(id_scores, target_scores) if has_id else None,
        errors_roc=roc_area(target_scores[is_right], target_scores[~is_right])
        if has_both
        else None,
        correlation=rank_correlation(-target_scores, is_right),
        risk_coverage=risk_coverage,
    )


def roc_area(low: Tensor, high: Tensor) -> RocArea:
    """Return the probability that an image of ``high`` scores higher than one of ``low``.

    Equal scores count half (the Mann–Whitney statistic). The interval is DeLong's (DeLong, DeLong
    and Clarke-Pearson, Biometrics 1988): normal, with a variance from the share of the other
    images that each image beats. Where that variance is 0, as when all images are separated, it is
    the score interval of Newcombe, "Confidence intervals for an effect size measure based on the
    Mann–Whitney statistic, part 2", Statistics in Medicine 2006, method 5. It covers the sampling
    of images only.

    Args:
        low: scores (n,), in any order.
        high: scores (m,).

    Raises:
        InputError: if either is empty or a score is NaN.
    """
    low, high = _checked(low), _checked(high)
    n, m = len(low), len(high)
    ranks = average_ranks(torch.cat([low, high]))
    beaten = (ranks[n:] - average_ranks(high)) / n  # by each of high, of low
    beating = 1 - (ranks[:n] - average_ranks(low)) / m
    value = float(beaten.mean())
    variance = 0.0
    if min(n, m) > 1:
        variance = float(beaten.var() / m + beating.var() / n)
    if variance < torch.finfo(torch.float64).eps:
        return RocArea(value, *_score_interval(value, n, m))
    half = NORMAL_975 * math.sqrt(variance)
    return RocArea(value, max(0.0, value - half), min(1.0, value + half))


def _score_interval(value: float, n: int, m: int) -> tuple[float, float]:
    """Return all areas θ with |value − θ| ≤ z · √V(θ), Newcombe's method 5."""

    def is_inside(area: float) -> bool:
        spread = (1 - area) / (2 - area) + area / (1 + area)
        variance = area * (1 - area) * (1 + ((n + m) / 2 - 1) * spread) / (n * m)
        return abs(value - area) <= NORMAL_975 * math.sqrt(variance)

    def bound(outside: float) -> float:
        inside = value
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if is_inside(middle) else (inside, middle)
        return inside

    return bound(0.0), bound(1.0)


def false_positive_rate(id_scores: Tensor, unlike_scores: Tensor) -> float:
    """Return the share of unlike images that pass as ID ones: "FPR at 95% TPR".

    An image passes if its score does not exceed the threshold that keeps 95% of the ID images
    (Liang, Li and Srikant, "Enhancing the Reliability of Out-of-distribution Image Detection in
    Neural Networks", ICLR 2018).

    Raises:
        InputError: if either is empty or a score is NaN.
    """
    threshold = kept_threshold(_checked(id_scores))
    return float((_checked(unlike_scores) <= threshold).double().mean())


def risk_coverage_of(scores: Tensor, is_right: Tensor) -> RiskCoverage:
    """Return the risk–coverage curve of scores (n,) and correctness (n,) bool, and its area.

    Geifman and El-Yaniv, "Selective Classification for Deep Neural Networks", NeurIPS 2017. The
    area is the mean of the risk over 1 … n kept images (Geifman, Uziel and El-Yaniv, "Bias-Reduced
    Uncertainty Estimation for Deep Neural Classifiers", ICLR 2019).

    Raises:
        InputError: if there are no images or a score is NaN.
    """
    scores = _checked(scores)
    order = scores.argsort(stable=True)
    wrong = (~is_right[order]).double()
    _, members, sizes = scores[order].unique_consecutive(return_inverse=True, return_counts=True)
    expected = torch.zeros(len(sizes), dtype=torch.float64).index_add_(0, members, wrong) / sizes
    kept = torch.arange(1, len(scores) + 1, dtype=torch.float64)
    risk = expected[members].cumsum(0) / kept
    best = wrong.sort().values.cumsum(0) / kept
    shown = _shown(len(scores))
    return RiskCoverage(
        coverage=tuple((kept[shown] / len(scores)).tolist()),
        risk=tuple(risk[shown].tolist()),
        area=float(risk.mean()),
        best_area=float(best.mean()),
        error_rate=float(wrong.mean()),
    )


def _shown(images: int) -> Tensor:
    """Return the rows of a curve of all images that are kept, with the last one."""
    points = min(images, CURVE_POINTS)
    return (torch.arange(1, points + 1) * images + points - 1) // points - 1


def rank_correlation(one: Tensor, other: Tensor) -> float | None:
    """Return Spearman's correlation of two (n,), with average ranks of equal values.

    Returns:
        None if either is constant.

    Raises:
        InputError: if there are no values or one is NaN.
    """
    first, second = average_ranks(_checked(one)), average_ranks(_checked(other))
    first, second = first - first.mean(), second - second.mean()
    scale = float(first.square().sum() * second.square().sum()) ** 0.5
    return float(first @ second) / scale if scale > 0 else None


def average_ranks(values: Tensor) -> Tensor:
    """Return the ranks of (n,) from 1 to n, float64; equal values share their mean rank."""
    _, members, sizes = values.unique(return_inverse=True, return_counts=True)
    last = sizes.cumsum(0).double()
    means: Tensor = last - (sizes - 1) / 2
    return means[members]


def _checked(scores: Tensor) -> Tensor:
    """Return scores in float64."""
    if len(scores) == 0:
        raise InputError("The scores cannot be compared: there are no images.")
    if scores.isnan().any():
        raise InputError(
            f"{int(scores.isnan().sum())} of {len(scores)} scores are not a number. "
            "Check that the network's logits are finite."
        )
    return scores.double()
