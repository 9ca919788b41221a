"""Very large dropout: masks on the penultimate representation.

Zhang & Bottou, "Fine-tuning with Very Large Dropout", arXiv 2403.00946, section 3:
Φ_drop = m(λ) ⊙ Φ(x) / (1 − λ), each m_i ~ Bernoulli(1 − λ), only in training.

The limit of many masks: Wang & Manning, "Fast dropout training", ICML 2013.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.model.basis import Basis, LastLayer

Masks = int | Literal["inf"]
"""Masks per image; ``inf``: the limit of many, see :func:`gaussian_logits`."""

DRAWS: Final = 64
"""Draws of Gaussian logits, if no other number is given."""
JITTERS: Final = (1e-5, 1e-4, 1e-3, 1e-2)
"""Added to the variances as a fraction of the largest, the first that suffices: the covariance of
logits is often singular, because weights trained from zero sum to zero over the classes."""
LEAST_VARIANCE: Final = 1e-12
"""Added to the variances for weights of zero, at which a square root has no gradient."""


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
    head: LastLayer,
    features: Tensor,
    *,
    dropout_rate: float,
    masks: Masks,
    generator: torch.Generator,
    draws: int = DRAWS,
    basis: Basis | None = None,
) -> Tensor:
    """Return the logits of K masks of a batch's features, (K, B, C) float32.

    The backbone runs once; only the last layer runs K times. K = 1 in the paper.

    With a basis, masks drop its directions U instead of units, and keep the mean μ:
    Φ_drop = μ + U (m ⊙ Uᵀ(Φ − μ)) / (1 − λ).

    Args:
        head: last layer, (…, D) to (…, C).
        features: (B, D).
        dropout_rate: λ, in [0, 1).
        masks: K, or ``inf``; the result has one if λ = 0.
        generator: on the features' device.
        draws: K if masks are ``inf``.
        basis: directions that masks drop; None: units.
    """
    weight: Tensor = head.weight
    bias: Tensor = head.bias
    if basis is not None and dropout_rate > 0:
        features, weight, bias = basis.rotated(head, features)
    if masks == "inf" and dropout_rate > 0:
        return gaussian_logits(weight, bias, features, dropout_rate, draws, generator)
    number = 1 if masks == "inf" else masks
    masked = mask_features(features, dropout_rate, number, generator)  # (K, B, D)
    return F.linear(masked, weight, bias).float()


def gaussian_logits(
    weight: Tensor, bias: Tensor, features: Tensor, dropout_rate: float, draws: int,
    generator: torch.Generator,
) -> Tensor:  # fmt: skip
    """Draw from the Gaussian with the mean and covariance of an image's logits over all masks.

    A logit is a sum of D independent terms, so its distribution over masks is nearly Gaussian if no
    few features dominate (central limit theorem): Wang & Manning, ICML 2013, section 3. Mean
    W φ + b; covariance λ/(1 − λ) · W diag(φ²) Wᵀ. Each draw is followed by its mirror image about
    the mean. Gradients flow through mean and covariance.

    If there are at most as many classes as draws, the draws use the Cholesky factor of the
    covariance, whose gradients have the least variance. Otherwise that would be slower than what is
    done: each draw has Gaussian noise for each feature.

    Args:
        weight: W, (C, D).
        bias: b, (C,).
        features: φ, (B, D).
        dropout_rate: λ, in (0, 1).
        draws: K.
        generator: on the features' device.

    Returns:
        (K, B, C) float32.
    """
    with torch.autocast(features.device.type, enabled=False):
        features = features.float()
        scale = dropout_rate / (1 - dropout_rate)
        mean = F.linear(features, weight, bias)
        classes = len(weight)
        noise_dim = classes if classes <= draws else features.shape[1]
        noise = torch.randn(
            (draws + 1) // 2, len(features), noise_dim, generator=generator, device=features.device
        )
        if classes <= draws:
            covariance = scale * (weight * features.square()[:, None]) @ weight.T  # (B, C, C)
            offsets = torch.einsum("bcd,kbd->kbc", _factors(covariance), noise)
        else:
            offsets = math.sqrt(scale) * F.linear(features * noise, weight)
        return mean + torch.cat([offsets, -offsets])[:draws]


def _factors(covariance: Tensor) -> Tensor:
    """Return Cholesky factors of covariances (B, C, C) with slightly larger variances.

    Factors of values that are not finite are not finite either, as the loss will then be.
    """
    variances = covariance.detach().diagonal(dim1=-2, dim2=-1)
    largest = variances.amax(dim=-1, keepdim=True) + LEAST_VARIANCE
    for jitter in JITTERS:
        added = torch.diag_embed((jitter * largest).expand_as(variances))
        factors: Tensor
        factors, failures = torch.linalg.cholesky_ex(covariance + added)
        if not failures.any():
            break
    return factors


def masked_cross_entropy(
    head: nn.Linear,
    features: Tensor,
    labels: Tensor,
    *,
    dropout_rate: float,
    masks: Masks,
    generator: torch.Generator,
    draws: int = DRAWS,
    basis: Basis | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """Return the cross-entropy (nats) averaged over the batch and over K masks of its features.

    ``labels`` are (B,) int64, and ``weights`` (B,) multiply the images' losses; the other arguments
    are as in :func:`masked_logits`.
    """
    logits = masked_logits(
        head, features,
        dropout_rate=dropout_rate, masks=masks, generator=generator, draws=draws, basis=basis,
    )  # fmt: skip
    repeated = labels.repeat(len(logits))
    if weights is None:
        return F.cross_entropy(logits.flatten(0, 1), repeated)
    losses = F.cross_entropy(logits.flatten(0, 1), repeated, reduction="none")
    return (weights.repeat(len(logits)) * losses).mean()
