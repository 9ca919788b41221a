"""Checks of what diagnostics are given, and matrix products of many rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor

from engine.errors import InputError
from engine.text import counted

ROWS: Final = 4096
"""Rows that are held in float64 at a time."""


def check_features(features: Tensor, name: str = "features") -> None:
    """Check that there are features (N, D) or logits (N, C), and that all are finite.

    ``name`` names them in the error.

    Raises:
        InputError: if there is no image, or a value is NaN or infinite.
        ValueError: if they are not a matrix.
    """
    if features.ndim != 2:
        raise ValueError(f"{name} must be a matrix, not {tuple(features.shape)}")
    if features.numel() == 0:
        raise InputError(f"The {name} cannot be measured: there are no images.")
    broken = int((~features.sum(dim=1, dtype=torch.float64).isfinite()).sum())
    if broken:
        raise InputError(
            f"The {name} are NaN or infinite in {broken:,} of {counted(len(features), 'image')}, "
            "so nothing can be measured on them. Training diverged: lower --lr, or use an earlier "
            "checkpoint."
        )


def check_labels(labels: Tensor, images: int) -> None:
    """Check that there is one label for each image.

    Raises:
        ValueError: if not.
    """
    if labels.shape != (images,):
        raise ValueError(f"labels must be ({images},), not {tuple(labels.shape)}")


def column_means(features: Tensor) -> Tensor:
    """Return the mean of each column of (N, D), float64."""
    return features.sum(dim=0, dtype=torch.float64) / len(features)


def is_constant(features: Tensor, means: Tensor) -> bool:
    """Return whether features (N, D) equal their column means up to the rounding of float32."""
    energy = deviation = 0.0
    for rows in float64_chunks(features):
        energy += float(rows.square().sum())
    for rows in float64_chunks(features, means):
        deviation += float(rows.square().sum())
    return deviation <= torch.finfo(torch.float32).eps ** 2 * energy


def cross_product(
    first: Tensor, second: Tensor, centres: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """Return XᵀY (D₁, D₂) in float64, of X (N, D₁) and Y (N, D₂) minus their ``centres``."""
    of_first, of_second = centres or (None, None)
    total = torch.zeros(first.shape[1], second.shape[1], dtype=torch.float64)
    chunks = zip(float64_chunks(first, of_first), float64_chunks(second, of_second), strict=True)
    for left, right in chunks:
        total.addmm_(left.T, right)
    return total


def float64_chunks(features: Tensor, centre: Tensor | None = None) -> Iterator[Tensor]:
    """Yield (n, D) float64 rows of features (N, D) minus a centre (D,), :data:`ROWS` at a time."""
    for rows in features.split(ROWS):
        yield rows.double() if centre is None else rows.double() - centre
