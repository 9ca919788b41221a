"""Training of the last layer on cached features before fine-tuning (LP-FT).

A random last layer sends meaningless gradients into the backbone, which under very large dropout
are large enough to ruin it (docs/recipe.md). Features are computed once, so this takes seconds.
Kumar et al., "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution",
arXiv 2202.10054.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.data import RunData, Sampler
from engine.execution import Execution
from engine.model import FineTunedNetwork, masked_cross_entropy
from engine.protocol import HeadTrained, RunSpec
from engine.train.setup import training_images

HEAD_LR = 1e-3
"""Peak learning rate of Adam for features with a root mean square of 1; cosine decay to zero."""


@dataclass(frozen=True)
class CachedFeatures:
    """Unmasked features of each source domain's training images: (n, D) and labels (n,)."""

    domains: list[tuple[Tensor, Tensor]]


def train_head_on(
    data: RunData,
    network: FineTunedNetwork,
    spec: RunSpec,
    execution: Execution,
    feature_rms: float,
    generators: Mapping[str, torch.Generator],
    stop_if_asked: Callable[[], None],
) -> HeadTrained:
    """Train the last layer on the sources' training images and return the event.

    Arguments as in :func:`cache_features` and :func:`train_head`; all ranks end with the same
    weights.
    """
    began = time.perf_counter()
    ranks = execution.ranks
    domains = [
        training_images(domain, network, spec, execution.device, ranks=ranks)
        for domain in data.sources
    ]
    cached = cache_features(network, domains, execution, stop_if_asked)
    loss = train_head(network, cached, feature_rms, spec, generators, stop_if_asked)
    ranks.copy_first(network.head.parameters())
    return HeadTrained(steps=spec.head_steps, loss=loss, wall_s=time.perf_counter() - began)


def cache_features(
    network: FineTunedNetwork,
    domains: Iterable[Iterable[tuple[Tensor, Tensor]]],
    execution: Execution,
    between_batches: Callable[[], None],
) -> CachedFeatures:
    """Run the backbone once over images; the network is left in evaluation mode.

    Args:
        network: the network, on its device.
        domains: batches of each domain: this rank's images (b, 3, S, S), normalised, and the labels
            of all images, (B,).
        execution: precision and memory format.
        between_batches: called after each batch; may raise to stop.
    """
    network.module.eval()
    folded = network.folded(execution.folds_inference)
    cached = []
    with torch.no_grad(), execution.autocast(), folded:
        for batches in domains:
            pairs = []
            for images, labels in batches:
                features = images.new_empty(0, network.feature_dim)
                if len(images):
                    features = network.features(execution.lay_out(images)).float()
                pairs.append((execution.ranks.gather(features, len(labels)), labels))
                between_batches()
            features, labels = (torch.cat(parts) for parts in zip(*pairs, strict=True))
            cached.append((features, labels))
    return CachedFeatures(cached)


def train_head(
    network: FineTunedNetwork,
    cached: CachedFeatures,
    feature_rms: float,
    spec: RunSpec,
    generators: Mapping[str, torch.Generator],
    between_steps: Callable[[], None],
) -> float:
    """Train the last layer for ``spec.head_steps`` steps with the run's dropout.

    It starts from zero, unless it was trained for the same classes before.

    Args:
        network: the network; only its last layer changes.
        cached: features to train on.
        feature_rms: root mean square of a feature.
        spec: batch size, sampling, dropout rate and masks.
        generators: ``batches`` draws the batches (CPU), ``masks`` the masks (device).
        between_steps: called after every step; may raise to stop.

    Returns:
        The mean loss (nats) of the last tenth of the steps.
    """
    if not network.is_head_trained:
        torch.nn.init.zeros_(network.head.weight)
        torch.nn.init.zeros_(network.head.bias)
    lr = HEAD_LR / feature_rms
    optimizer = torch.optim.Adam(network.head.parameters(), lr=lr)
    counted = max(1, spec.head_steps // 10)
    loss_sum = 0.0
    samplers = [Sampler(labels, spec.sampling) for _, labels in cached.domains]
    for step in range(spec.head_steps):
        optimizer.param_groups[0]["lr"] = (
            lr * 0.5 * (1 + math.cos(math.pi * step / spec.head_steps))
        )
        features, labels = _draw(cached, samplers, spec.batch_size, generators["batches"])
        loss = masked_cross_entropy(
            network.head, features, labels,
            dropout_rate=spec.dropout_rate, masks=spec.masks, generator=generators["masks"],
        )  # fmt: skip
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step >= spec.head_steps - counted:
            loss_sum += float(loss.detach())
        between_steps()
    return loss_sum / counted


def _draw(
    cached: CachedFeatures, samplers: Sequence[Sampler], count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return ``count`` features of each domain and their labels."""
    drawn = []
    for (features, labels), sampler in zip(cached.domains, samplers, strict=True):
        chosen = sampler.draw(count, generator).to(features.device)
        drawn.append((features[chosen], labels[chosen]))
    features, labels = (torch.cat(parts) for parts in zip(*drawn, strict=True))
    return features, labels
