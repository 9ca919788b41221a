"""The loss of a label compared with that of a random one: which labels a network doubts.

After Song et al., "Robust and On-the-fly Dataset Denoising for Image Classification", ECCV 2020
(arXiv 2003.10647). They remove an image during training if its loss exceeds a quantile of the loss
that images with uniformly random labels would have, a distribution that they model from the
network's parameters alone. Here that distribution is taken from the network's outputs on the images
themselves: after training by ``vld suspects``, during training by the objective ``odd``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

MOST_VALUES: Final = 10_000_000
"""Maximum number of values of which a quantile is taken; above, of evenly spaced images."""


def label_excess(logits: Sequence[Tensor]) -> Tensor:
    """Return the excess loss of every label of every image, (N, C) float64, in nats.

    s_ic = 1/K Σ_k (ℓ_kic − 1/C Σ_j ℓ_kij) with ℓ_kic = −log softmax(z_ki)_c: the loss of the label
    c minus the expected loss of a uniformly random label, averaged over checkpoints k. The
    normalisation of the softmax cancels, so that s_ic = 1/K Σ_k (mean_j z_kij − z_kic).

    Args:
        logits: z, (N, C) of each of K checkpoints.

    Raises:
        ValueError: if there are none, or one is not finite.
    """
    if not logits:
        raise ValueError("no logits")
    total = torch.zeros(logits[0].shape, dtype=torch.float64)
    for each in logits:
        wide = each.double()
        if not wide.isfinite().all():
            raise ValueError("a logit is not finite")
        total += excess_loss(wide)
    return total / len(logits)


def excess_loss(logits: Tensor) -> Tensor:
    """Return the loss of each label minus that of a uniformly random one, (…, C), in nats.

    It is mean_j z_j − z_c of logits z, (…, C): linear in them.
    """
    return logits.mean(dim=-1, keepdim=True) - logits


def of_labels(excess: Tensor, labels: Tensor) -> Tensor:
    """Return the values (N,) of the given labels (N,) int64 in a table (N, C)."""
    return excess.gather(1, labels[:, None])[:, 0]


def wrong_label_quantile(excess: Tensor, labels: Tensor, quantile: float) -> float:
    """Return a quantile of the excess losses of all labels other than the given ones.

    The given labels are left out, because most are correct: with C classes they would be a share
    1/C of the values, all of the lowest.

    Args:
        excess: (N, C) float64, C at least 2.
        labels: the given labels, (N,) int64.
        quantile: from 0 to 1; interpolated linearly.

    Raises:
        ValueError: if there are no images or no other labels.
    """
    images, classes = excess.shape
    if images == 0 or classes < 2:
        raise ValueError(f"{images} images of {classes} classes have no wrong labels")
    step = -(-images * (classes - 1) // MOST_VALUES)
    taken, of_taken = excess[::step], labels[::step]
    is_other = torch.ones_like(taken, dtype=torch.bool)
    is_other.scatter_(1, of_taken[:, None], value=False)
    return float(np.quantile(taken[is_other].numpy(), quantile))
