"""The directions that a run's dropout masks, over its course."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from engine.errors import TrainingError
from engine.model.basis import Basis, principal_basis
from engine.protocol import RunSpec
from engine.ranks import Ranks

BASIS_IMAGES: Final = 512
"""Training images of each source domain for a basis, unless all are cached already."""


class MaskBasis:
    """The principal directions of a run's features; none if its masks drop units.

    Attributes:
        current: None: masks drop units, or nothing was computed yet.
    """

    def __init__(self, spec: RunSpec, ranks: Ranks) -> None:
        self._is_used = spec.mask_basis == "pca" and spec.dropout_rate > 0
        self._every = spec.mask_basis_every
        self._ranks = ranks
        self.current: Basis | None = None

    def is_due(self, step: int) -> bool:
        """Return whether the basis must be computed before update ``step``, counted from 0."""
        if not self._is_used or self.current is None:
            return self._is_used
        return self._every is not None and step > 0 and step % self._every == 0

    def compute(self, features: Tensor) -> None:
        """Compute the basis of features (N, D) on the first rank, for all ranks.

        Raises:
            TrainingError: if the features are not finite.
        """
        if not bool(torch.isfinite(features).all()):
            raise TrainingError(
                "The features of training images are not finite, so they have no principal "
                "directions. Give a lower --lr, or --precision fp32."
            )
        if self._ranks.is_first:
            self.current = principal_basis(features)
        else:
            dim = features.shape[1]
            self.current = Basis(features.new_empty(dim, dim), features.new_empty(dim))
        self._ranks.copy_first([self.current.directions, self.current.mean])

    def tensors(self) -> dict[str, Tensor]:
        """Return the basis by the names of its tensors in checkpoints."""
        if self.current is None:
            return {}
        return {"directions": self.current.directions, "mean": self.current.mean}

    def restore(self, tensors: Mapping[str, Tensor], device: torch.device) -> None:
        """Restore the basis of a checkpoint, if it has one."""
        if tensors:
            self.current = Basis(**{name: each.to(device) for name, each in tensors.items()})
