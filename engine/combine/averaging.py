"""Means of weights, in double precision.

Floating-point buffers, such as BatchNorm's statistics, are averaged as weights are; integer ones,
such as its count of batches, are copied from the first network.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

Weights = Mapping[str, Tensor]


class WeightMean:
    """The mean of the networks added so far, of which only the sum is kept."""

    def __init__(self, weights: Weights) -> None:
        self._first = dict(weights)
        self._sum = {name: tensor.double() for name, tensor in _averaged(weights).items()}
        self.count = 1

    def add(self, weights: Weights) -> None:
        """Take one more network in."""
        for name, tensor in _averaged(weights).items():
            self._sum[name] += tensor.double()
        self.count += 1

    def weights(self) -> dict[str, Tensor]:
        """Return the mean, in the precision of the first network."""
        return self._divided(self._sum, self.count)

    def with_one_more(self, weights: Weights) -> dict[str, Tensor]:
        """Return what the mean would be with one more network."""
        total = {name: each + weights[name].double() for name, each in self._sum.items()}
        return self._divided(total, self.count + 1)

    def _divided(self, total: Weights, count: int) -> dict[str, Tensor]:
        return {
            name: (total[name] / count).to(tensor.dtype) if name in total else tensor
            for name, tensor in self._first.items()
        }


def blend(first: Weights, second: Weights, share: float) -> dict[str, Tensor]:
    """Return the weights ``share`` (0 to 1) of the way from the first network to the second."""
    return {
        name: torch.lerp(tensor.double(), second[name].double(), share).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in first.items()
    }


def _averaged(weights: Weights) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in weights.items() if tensor.is_floating_point()}
