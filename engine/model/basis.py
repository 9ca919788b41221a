"""The directions of the representation that dropout masks.

Dropout of principal directions instead of single units: OpenReview UvrSxutZK9.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class LastLayer(Protocol):
    """A linear layer, (…, D) to (…, C), such as ``nn.Linear``."""

    @property
    def weight(self) -> Tensor:
        """Return W, (C, D)."""

    @property
    def bias(self) -> Tensor:
        """Return b, (C,)."""


@dataclass(frozen=True)
class Basis:
    """An orthonormal basis of the representation, with the mean as its origin.

    Attributes:
        directions: U, (D, D), a direction in each column.
        mean: μ, (D,).
    """

    directions: Tensor
    mean: Tensor

    def rotated(self, head: LastLayer, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return coordinates and the last layer that reads them, with the same logits.

        W (μ + U c) + b = (W U) c + (W μ + b) with c = Uᵀ(Φ − μ), so that masks of c, which would
        otherwise need a product with U for each, cost what masks of Φ do.

        Args:
            head: W (C, D) and b (C,).
            features: Φ, (B, D).

        Returns:
            c (B, D), W U (C, D) and W μ + b (C,), float32.
        """
        with torch.autocast(features.device.type, enabled=False):
            coordinates = (features.float() - self.mean) @ self.directions
            weight = head.weight @ self.directions
            return coordinates, weight, F.linear(self.mean, head.weight, head.bias)


def principal_basis(features: Tensor) -> Basis:
    """Return the principal directions of features, by falling variance, and their mean.

    With fewer features than dimensions, directions without variance complete the basis.

    Args:
        features: (N, D), finite.

    Returns:
        The basis, float32, on the features' device.
    """
    exact = features.detach().cpu().double()  # mps has no float64
    mean = exact.mean(dim=0)
    centred = exact - mean
    _, directions = torch.linalg.eigh(centred.T @ centred)  # by rising variance
    return Basis(
        directions.flip(1).float().contiguous().to(features.device),
        mean.float().to(features.device),
    )
