"""The singular values of features: over how many directions a representation is spread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from engine.diagnose.inputs import check_features, cross_product

EPSILON: Final = 1e-7
"""Added to each share of the singular values, as in the paper for float32."""


@dataclass(frozen=True)
class Spectrum:
    """The singular values of features (N, D), which are not centred.

    Attributes:
        values: (min(N, D),) float64, in descending order.
        images: N.
        dimensions: D.
        directions: right singular vectors (D, min(N, D)) float64, a column for each value; None
            if they were not asked for.
    """

    values: Tensor
    images: int
    dimensions: int
    directions: Tensor | None = None

    @property
    def is_limited_by_images(self) -> bool:
        """Return whether there are fewer images than dimensions, which limits the rank to N."""
        return self.images < self.dimensions

    @property
    def rank(self) -> int:
        """Return the numerical rank: see :func:`numerical_rank`."""
        return numerical_rank(self.values, self.images, self.dimensions)

    @property
    def rank_me(self) -> float | None:
        """Return RankMe, about 1 to min(N, D); None if all features are zero.

        It is exp(−Σ pₖ log pₖ) with pₖ = σₖ / Σ σ + ε, of features that are not centred: Garrido et
        al., "RankMe: Assessing the Downstream Performance of Pretrained Self-Supervised
        Representations by Their Rank", ICML 2023, equation 1. The paper uses 25,600 images; values
        are comparable for equal numbers of images only.
        """
        total = self.values.sum()
        if total == 0:
            return None
        shares = self.values / total + EPSILON
        return float(torch.exp(-(shares * shares.log()).sum()))


def spectrum_of(features: Tensor, *, has_directions: bool = False) -> Spectrum:
    """Return the singular values of features, and with ``has_directions`` the right vectors.

    They are square roots of the eigenvalues of the smaller one of XᵀX and XXᵀ, which takes a
    fraction of the time of a singular value decomposition. In float64 this resolves values down to
    about 1e-7 of the largest, beyond the precision of float32 features; smaller ones are 0.

    Args:
        features: X, (N, D) float32 on the CPU.
        has_directions: compute the right singular vectors, which takes several times as long.

    Raises:
        InputError: if there is no image, or a feature is NaN or infinite.
    """
    check_features(features)
    images, dimensions = features.shape
    is_wide = images < dimensions
    rows = features.double() if is_wide else features
    product = rows @ rows.T if is_wide else cross_product(features, features)
    if has_directions:
        squares, vectors = (each.flip(-1) for each in torch.linalg.eigh(product))
    else:
        squares, vectors = torch.linalg.eigvalsh(product).flip(0), None
    smallest = max(images, dimensions) * torch.finfo(torch.float64).eps * squares[0]
    values = torch.where(squares > smallest, squares, 0).clamp_min(0).sqrt()
    if vectors is not None and is_wide:
        # v = Xᵀu / σ; a zero value has no direction in the span.
        vectors = (rows.T @ vectors) / torch.where(values > 0, values, torch.inf)
    return Spectrum(values, images, dimensions, vectors)


def rank_me(features: Tensor) -> float | None:
    """Return RankMe of features (N, D): see :attr:`Spectrum.rank_me`.

    Raises:
        InputError: if there is no image, or a feature is NaN or infinite.
    """
    return spectrum_of(features).rank_me


def numerical_rank(values: Tensor, rows: int, columns: int) -> int:
    """Return how many singular values of a float32 matrix exceed its rounding.

    A value counts if it is greater than max(rows, columns) · ε · the largest value, with ε of
    float32, the precision of features. It is the rule of ``numpy.linalg.matrix_rank``.

    Args:
        values: singular values in descending order.
        rows: number of rows of the matrix.
        columns: number of its columns.
    """
    smallest = max(rows, columns) * torch.finfo(torch.float32).eps * values[0]
    return int((values > smallest).sum())
