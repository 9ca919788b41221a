"""Measures of predictions in addition to accuracy and loss; see :mod:`engine.protocol.measures`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

BINS: Final = 15
"""Bins of the calibration error, as in Guo et al. 2017."""


@dataclass(frozen=True)
class Judged:
    """Predictions on the images of one split, compared with their labels.

    Attributes:
        confusion: number of images by label (rows) and predicted class, (C, C) int64.
        is_right: whether each image was classified correctly, (n,) bool.
        confidence: probability that the network gave the class it predicted, (n,) float32.
    """

    confusion: Tensor
    is_right: Tensor
    confidence: Tensor


def balanced_accuracy(judged: Judged) -> float:
    """Return the mean recall of the classes that have images."""
    images = judged.confusion.sum(dim=1)
    recall = judged.confusion.diagonal()[images > 0] / images[images > 0]
    return float(recall.mean())


def calibration_error(judged: Judged) -> float:
    """Return the expected calibration error over :data:`BINS` bins of equal width.

    It is the gap between mean confidence and accuracy in each bin, weighted by its number of
    images; NaN if a confidence is not finite. Guo et al., "On Calibration of Modern Neural
    Networks", ICML 2017, equation 3.
    """
    confidence, is_right = judged.confidence.double(), judged.is_right.double()
    if not confidence.isfinite().all():
        return float("nan")
    bins = (confidence * BINS).ceil().long().clamp(1, BINS) - 1  # bin m is ((m−1)/M, m/M]
    gaps = torch.zeros(BINS, dtype=torch.float64).index_add_(0, bins, confidence - is_right)
    return float(gaps.abs().sum() / len(confidence))


MEASURED: Final[Mapping[str, Callable[[Judged], float]]] = {
    "balanced_accuracy": balanced_accuracy,
    "calibration_error": calibration_error,
}
"""How each of :data:`engine.protocol.measures.MEASURES` is computed."""
