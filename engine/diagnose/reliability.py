"""Whether confidences are right: the calibration error and the bins of a reliability diagram."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.diagnose.inputs import check_features, check_labels
from engine.evaluate import judge
from engine.evaluate.measures import BINS, bins_of


@dataclass(frozen=True)
class ReliabilityBin:
    """The images whose confidence is above ``low`` and at most ``high``.

    ``confidence`` (mean) and ``accuracy`` are from 0 to 1; None: there is no image.
    """

    low: float
    high: float
    images: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Reliability:
    """Confidence compared with accuracy on the images of one split.

    Attributes:
        calibration_error: see :func:`engine.evaluate.measures.calibration_error`.
        overconfidence: mean confidence minus accuracy, −1 to 1.
        bins: of equal width, in ascending order.
    """

    calibration_error: float
    overconfidence: float
    bins: tuple[ReliabilityBin, ...]


def reliability_of(logits: Tensor, labels: Tensor) -> Reliability:
    """Compare confidence with accuracy in bins of confidence.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 2.

    Args:
        logits: (N, C) float32.
        labels: (N,) int64.

    Raises:
        InputError: if there is no image, or a logit is NaN or infinite.
    """
    check_features(logits, "logits")
    check_labels(labels, len(logits))
    result = judge([(logits, labels)], logits.shape[1])
    if result.guesses is None:
        raise AssertionError("judge() keeps the guesses")
    judged = result.guesses.judged()
    confidence, is_right = judged.confidence.double(), judged.is_right.double()
    of_bin = bins_of(confidence)
    counts = torch.bincount(of_bin, minlength=BINS)
    sums = torch.zeros(2, BINS, dtype=torch.float64)
    sums.index_add_(1, of_bin, torch.stack([confidence, is_right]))
    means = (sums / counts).T.tolist()
    bins = tuple(
        ReliabilityBin(
            number / BINS, (number + 1) / BINS, images, *(means[number] if images else (None, None))
        )
        for number, images in enumerate(counts.tolist())
    )
    overconfidence = float((confidence - is_right).mean())
    return Reliability(result.measures["calibration_error"], overconfidence, bins)
