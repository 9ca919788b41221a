"""Draws of training images: uniform over images, or over classes."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Sampling = Literal["uniform", "balanced"]


class Sampler:
    """Draws training images of one domain with replacement.

    ``uniform``: every image is equally likely. ``balanced``: every class that has images is equally
    likely, and so is every image of a class.
    """

    def __init__(self, labels: Tensor, sampling: Sampling) -> None:
        """``labels``: classes of the domain's training images, (n,) int64."""
        self._images = len(labels)
        self._is_balanced = sampling == "balanced"
        if self._is_balanced:
            self._by_class = labels.cpu().argsort(stable=True)
            counts = torch.bincount(labels.cpu())
            self._counts = counts[counts > 0]
            self._starts = self._counts.cumsum(0) - self._counts

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Return ``count`` positions in the labels, (count,) int64.

        All randomness comes from the generator, on the CPU.
        """
        if not self._is_balanced:
            return torch.randint(self._images, (count,), generator=generator)
        classes = torch.randint(len(self._counts), (count,), generator=generator)
        shares = torch.rand(count, generator=generator, dtype=torch.float64)
        within = (shares * self._counts[classes]).long()  # rounding never reaches the count
        return self._by_class[self._starts[classes] + within]
