"""Confidence from logits: temperature, OOD scores and their thresholds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

from torch import Tensor

from engine.protocol.inference import KEPT_SHARE

HOTTEST: Final = 20.0
"""The highest temperature, and the inverse of the lowest."""
HALVINGS: Final = 60


def ood_score_msp(logits: Tensor) -> Tensor:
    """Return 1 minus the highest probability, (B,).

    Hendrycks and Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples
    in Neural Networks", ICLR 2017.
    """
    return 1 - logits.softmax(dim=1).amax(dim=1)


def ood_score_energy(logits: Tensor) -> Tensor:
    """Return the energy −log Σ exp(logits), (B,).

    Liu et al., "Energy-based Out-of-distribution Detection", NeurIPS 2020, equation 4, at
    temperature 1.
    """
    return -logits.logsumexp(dim=1)


OOD_SCORED: Final[Mapping[str, Callable[[Tensor], Tensor]]] = {
    "msp": ood_score_msp,
    "energy": ood_score_energy,
}
"""How each of :data:`engine.protocol.inference.OOD_SCORES` is computed of logits (B, C)."""


def fit_temperature(logits: Tensor, labels: Tensor, offset: Tensor | None = None) -> float | None:
    """Return the temperature that minimises the mean negative log-likelihood.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2. The likelihood
    is convex in the inverse temperature β, so its derivative, the mean of E[z] − z_y under the
    probabilities softmax(β z + offset), has one root, found by bisection.

    Args:
        logits: z, (N, C) float64.
        labels: y, (N,) int64.
        offset: added to the logits after the temperature, (C,) float64, such as logs of the
            classes' shares; None: 0.

    Returns:
        From 1/:data:`HOTTEST` to :data:`HOTTEST`; None: z is largest at every image's label, so
        that the optimum is 0.
    """
    of_label = logits.gather(1, labels[:, None])[:, 0]
    if bool((of_label >= logits.amax(dim=1)).all()):
        return None

    def derivative(log_beta: float) -> float:
        scaled = logits * math.exp(log_beta)
        shares = (scaled if offset is None else scaled + offset).softmax(dim=1)
        return float(((shares * logits).sum(dim=1) - of_label).mean())

    low, high = -math.log(HOTTEST), math.log(HOTTEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if derivative(middle) < 0:
            low = middle
        else:
            high = middle
    return math.exp(-(low + high) / 2)


def kept_threshold(scores: Tensor) -> float:
    """Return the lowest score that :data:`KEPT_SHARE` of the scores (N,) do not exceed."""
    return float(scores.kthvalue(math.ceil(KEPT_SHARE * len(scores))).values)
