"""A network as the paper defines it: a representation Φ and a linear last layer."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from engine.model.block_mask import BlockMask
from engine.model.fold import Folded, Pair
from engine.protocol import LoadedWeights


@dataclass(frozen=True)
class FineTunedNetwork:
    """A network being fine-tuned; ``module`` is a plain timm network, or a ``LinearNetwork``.

    ``mean`` and ``std`` are per channel, for images in [0, 1], as in pre-training. ``loaded``
    describes the weight file. ``pairs`` are the convolutions that BatchNorm can be folded into.
    """

    module: nn.Module
    head: nn.Linear
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    loaded: LoadedWeights | None = None
    pairs: tuple[Pair, ...] = ()

    @property
    def is_head_trained(self) -> bool:
        """Return whether the last layer was trained for these classes in another run."""
        return self.loaded is not None and self.loaded.is_kept

    @property
    def feature_dim(self) -> int:
        """Return D, the width of the penultimate representation."""
        return self.head.in_features

    @torch.no_grad()
    def folded(self, folds: bool) -> AbstractContextManager[None]:
        """Return a context for passes without gradients, with BatchNorm folded if ``folds``.

        It can be entered several times and uses the weights at the time of this call, which must be
        in evaluation mode; see :class:`engine.model.fold.Folded`.
        """
        return Folded(self.pairs) if folds else nullcontext()

    def features(
        self,
        images: Tensor,
        at_once: int | None = None,
        mask: BlockMask | None = None,
        *,
        folds: bool = False,
    ) -> Tensor:
        """Return Φ(x), the pooled features that the last layer reads.

        With ``at_once``, activations are stored for one chunk of images at a time, and the backward
        pass recomputes each chunk. Masks and loss use the features of the whole batch, so the
        result is the same: the gradient cache of Gao et al., "Scaling Deep Contrastive Learning
        Batch Size under Memory Limited Setup", arXiv 2101.06983.

        Args:
            images: (B, 3, S, S), normalised.
            at_once: images per chunk; None: all.
            mask: of a block's channels, for these images; None: nothing is masked.
            folds: fold BatchNorm with fixed statistics; the result is the same up to rounding.

        Returns:
            (B, D).
        """
        folded = Folded(self.pairs) if folds else nullcontext()
        if at_once is None or at_once >= len(images):
            return self._features(images, folded, mask)
        parts = []
        for start in range(0, len(images), at_once):
            part = slice(start, start + at_once)
            part_mask = None if mask is None else mask.of_images(part)
            parts.append(
                checkpoint(
                    self._features, images[part], folded, part_mask,
                    use_reentrant=False, preserve_rng_state=False,
                )
            )  # fmt: skip
        return torch.cat(parts)

    def _features(
        self, images: Tensor, folded: AbstractContextManager[None], mask: BlockMask | None
    ) -> Tensor:
        module: Any = self.module
        masked = nullcontext() if mask is None else mask.applied(module)
        with folded, masked:
            pooled: Tensor = module.forward_head(module.forward_features(images), pre_logits=True)
        return pooled

    def set_training(self, *, freeze_batchnorm: bool) -> None:
        """Switch to training mode; frozen BatchNorm keeps its statistics but trains its weights."""
        self.module.train()
        if freeze_batchnorm:
            for layer in self.module.modules():
                if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                    layer.eval()
