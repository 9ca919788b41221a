"""Neural collapse: how small classes are compared with the distances between them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.diagnose.inputs import ROWS, check_features, check_labels
from engine.diagnose.spectrum import numerical_rank
from engine.errors import InputError


@dataclass(frozen=True)
class Collapse:
    """The variability within classes.

    Attributes:
        nc1: trace(Σ_W Σ_B⁺) / C, at least 0; 0: every image of a class has the same features. None
            if all classes have the same mean.
        classes: C, classes with at least two images.
        left_out: classes with a single image, which show no variability.
    """

    nc1: float | None
    classes: int
    left_out: int


def collapse_of(features: Tensor, labels: Tensor) -> Collapse:
    """Return NC1 of features.

    Σ_W is the mean over images of the squared deviation from the mean of their class, Σ_B the mean
    over classes of the squared deviation of their mean from the mean of all images: Papyan, Han and
    Donoho, "Prevalence of neural collapse during the terminal phase of deep learning training",
    PNAS 2020, table 1. Σ_B has few directions, at most C − 1; only these are computed, so that no
    matrix of D × D is needed. Its numerical rank is that of the class means, see
    :func:`engine.diagnose.spectrum.numerical_rank`.

    Args:
        features: (N, D) float32.
        labels: (N,) int64.

    Raises:
        InputError: if a feature is NaN or infinite, or fewer than two classes have two images.
    """
    check_features(features)
    check_labels(labels, len(features))
    present, rows_of, counts = labels.unique(return_inverse=True, return_counts=True)
    is_kept = counts > 1
    classes = int(is_kept.sum())
    if classes < 2:
        raise InputError(
            "Neural collapse compares classes, but fewer than two classes have at least two images."
        )
    numbers = torch.where(is_kept, is_kept.cumsum(0) - 1, -1)[rows_of]
    features, numbers = features[numbers >= 0], numbers[numbers >= 0]
    counts = counts[is_kept].double()
    sums = torch.zeros(classes, features.shape[1], dtype=torch.float64)
    for rows, of in zip(features.split(ROWS), numbers.split(ROWS), strict=True):
        sums.index_add_(0, of, rows.double())
    means = sums / counts[:, None]
    centre = sums.sum(dim=0) / counts.sum()
    nc1 = _trace(features, numbers, means, means - centre)
    return Collapse(nc1, classes, len(present) - classes)


def _trace(features: Tensor, numbers: Tensor, means: Tensor, between: Tensor) -> float | None:
    """Return trace(Σ_W Σ_B⁺) / C for class means (C, D) and their deviations from the centre.

    With deviations M = U S Vᵀ of the class means, Σ_B = V S² Vᵀ / C, so the value is
    Σₖ (mean over images of ((x − μ)·vₖ)²) / sₖ².
    """
    _, sizes, axes = torch.linalg.svd(between, full_matrices=False)
    scale = torch.linalg.vector_norm(means, dim=1).max()
    rank = numerical_rank(sizes, *between.shape)
    # Means that differ by the rounding of float32 only are the same.
    if scale == 0 or sizes[0] <= torch.finfo(torch.float32).eps * scale:
        return None
    axes, sizes = axes[:rank], sizes[:rank]
    centres = means @ axes.T
    within = torch.zeros(rank, dtype=torch.float64)
    for rows, of in zip(features.split(ROWS), numbers.split(ROWS), strict=True):
        within += (rows.double() @ axes.T - centres[of]).square().sum(dim=0)
    return float((within / len(features) / sizes.square()).sum())
