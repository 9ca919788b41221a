"""A timm network seen as the paper sees it: a representation Φ and a linear last layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from engine.protocol import LoadedWeights


@dataclass(frozen=True)
class FineTunedNetwork:
    """A network being fine-tuned; ``module`` stays an ordinary timm network throughout, unless it
    is tuned linearly.

    ``mean`` and ``std`` are per channel, of images in [0, 1], as in pre-training. ``loaded`` says
    what was taken from a file of weights.
    """

    module: nn.Module
    head: nn.Linear
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    loaded: LoadedWeights | None = None

    @property
    def is_head_trained(self) -> bool:
        """Say whether the last layer was trained for these classes before, in another run."""
        return self.loaded is not None and self.loaded.is_kept

    @property
    def feature_dim(self) -> int:
        """Return D, the width of the penultimate representation."""
        return self.head.in_features

    def features(self, images: Tensor, at_once: int | None = None) -> Tensor:
        """Return Φ(x), the pooled features the last layer reads.

        With ``at_once`` the memory is that of so many images: nothing is kept of the others but
        their features, and gradients compute each part again. As masks and loss see the features
        of all, they are what they are at once: the gradient cache of Gao et al., "Scaling Deep
        Contrastive Learning Batch Size under Memory Limited Setup", arXiv 2101.06983.

        Args:
            images: (B, 3, S, S), normalised.
            at_once: images computed at a time; None: all.

        Returns:
            (B, D).
        """
        if at_once is None or at_once >= len(images):
            return self._features(images)
        parts = [
            checkpoint(self._features, part, use_reentrant=False, preserve_rng_state=False)
            for part in images.split(at_once)
        ]
        return torch.cat(parts)

    def _features(self, images: Tensor) -> Tensor:
        module: Any = self.module
        pooled: Tensor = module.forward_head(module.forward_features(images), pre_logits=True)
        return pooled

    def set_training(self, *, freeze_batchnorm: bool) -> None:
        """Switch to training; frozen BatchNorm keeps its statistics, its weights still train."""
        self.module.train()
        if freeze_batchnorm:
            for layer in self.module.modules():
                if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                    layer.eval()
