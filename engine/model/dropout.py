"""Very large dropout: masks on the penultimate representation.

Zhang & Bottou, "Fine-tuning with Very Large Dropout", arXiv 2403.00946, section 3:
Φ_drop = m(λ) ⊙ Φ(x) / (1 − λ), each m_i ~ Bernoulli(1 − λ), only in training.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def mask_features(
    features: Tensor, dropout_rate: float, masks: int, generator: torch.Generator
) -> Tensor:
    """Apply independent random masks to features, preserving their expectation.

    Args:
        features: (B, D) penultimate representation.
        dropout_rate: λ, the probability of zeroing a feature, in [0, 1).
        masks: K, masks per example.
        generator: on the features' device.

    Returns:
        (K, B, D), or (1, B, D) if λ = 0, when all masks are the same.
    """
    if dropout_rate == 0:
        return features.unsqueeze(0)
    keep_rate = 1 - dropout_rate
    kept = torch.empty((masks, *features.shape), dtype=features.dtype, device=features.device)
    kept.bernoulli_(keep_rate, generator=generator).div_(keep_rate)
    return features * kept


def masked_logits(
    head: nn.Module,
    features: Tensor,
    *,
    dropout_rate: float,
    masks: int,
    generator: torch.Generator,
) -> Tensor:
    """Return the logits of K masks of a batch's features, (K, B, C) float32.

    The backbone runs once; only the last layer runs K times. K = 1 in the paper.

    Args:
        head: last layer, (…, D) to (…, C).
        features: (B, D).
        dropout_rate: λ, in [0, 1).
        masks: K; the result has one if λ = 0.
        generator: on the features' device.
    """
    masked = mask_features(features, dropout_rate, masks, generator)  # (K, B, D)
    logits: Tensor = head(masked).float()
    return logits


def masked_cross_entropy(
    head: nn.Module,
    features: Tensor,
    labels: Tensor,
    *,
    dropout_rate: float,
    masks: int,
    generator: torch.Generator,
) -> Tensor:
    """Return the cross-entropy (nats) averaged over the batch and over K masks of its features.

    ``labels`` are (B,) int64; the other arguments are as in :func:`masked_logits`.
    """
    logits = masked_logits(
        head, features, dropout_rate=dropout_rate, masks=masks, generator=generator
    )
    return F.cross_entropy(logits.flatten(0, 1), labels.repeat(len(logits)))
