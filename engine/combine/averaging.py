"""Means of weights, computed in double precision.

Floating-point buffers, such as BatchNorm statistics, are averaged like weights; integer buffers,
such as BatchNorm's batch count, are copied from the first network.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

Weights = Mapping[str, Tensor]


class WeightMean:
    """The running mean of networks; only the sum is kept in memory."""

    def __init__(self, weights: Weights) -> None:
        self._first = dict(weights)
        self._sum = {name: tensor.double() for name, tensor in _averaged(weights).items()}
        self.count = 1

    def add(self, weights: Weights) -> None:
        """Add a network."""
        for name, tensor in _averaged(weights).items():
            self._sum[name] += tensor.double()
        self.count += 1

    def weights(self) -> dict[str, Tensor]:
        """Return the mean, in the precision of the first network."""
        return self._divided(self._sum, self.count)

    def with_one_more(self, weights: Weights) -> dict[str, Tensor]:
        """Return the mean as it would be with one more network."""
        total = {name: each + weights[name].double() for name, each in self._sum.items()}
        return self._divided(total, self.count + 1)

    def _divided(self, total: Weights, count: int) -> dict[str, Tensor]:
        return {
            name: (total[name] / count).to(tensor.dtype) if name in total else tensor
            for name, tensor in self._first.items()
        }


def blend(first: Weights, second: Weights, share: float) -> dict[str, Tensor]:
    """Interpolate linearly: ``share`` 0 gives the first network, 1 the second."""
    return {
        name: torch.lerp(tensor.double(), second[name].double(), share).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in first.items()
    }


def _averaged(weights: Weights) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in weights.items() if tensor.is_floating_point()}
