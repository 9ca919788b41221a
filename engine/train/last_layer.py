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
from typing import Protocol

import torch
from torch import Tensor

from engine.data import FrozenFeatures, RunData, Sampler
from engine.execution import Execution
from engine.model import FineTunedNetwork, masked_cross_entropy
from engine.model.basis import Basis
from engine.model.linear import FrozenNetwork
from engine.objectives import class_weights
from engine.protocol import HeadTrained, RunSpec, dropout_rate_at
from engine.protocol.spec import LAST
from engine.rundir.phases import SILENT, Phases
from engine.train.mask_basis import BASIS_IMAGES, MaskBasis
from engine.train.setup import training_images

HEAD_LR = 1e-3
"""Peak learning rate of Adam for features with a root mean square of 1; cosine decay to zero."""


class HeadInput(Protocol):
    """The features that the last layer is trained on, of each source domain."""

    @property
    def labels(self) -> Sequence[Tensor]:
        """Return the labels of each domain's training images, (n,) on the device."""

    def take(self, domain: int, chosen: Tensor, generator: torch.Generator) -> Tensor:
        """Return the unmasked features of a domain's images, (B, D) on the device.

        ``generator`` (CPU) draws views, if there are several.
        """


@dataclass(frozen=True)
class TrainingFeatures:
    """Features of images without augmentation: (n, D) and labels (n,) of each domain."""

    domains: list[tuple[Tensor, Tensor]]

    @property
    def features(self) -> Tensor:
        """Return the features of all images, (N, D)."""
        return torch.cat([features for features, _ in self.domains])

    @property
    def labels(self) -> Sequence[Tensor]:
        """Return the labels of each domain."""
        return [labels for _, labels in self.domains]

    def take(self, domain: int, chosen: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """Return the features of images."""
        features, _ = self.domains[domain]
        return features[chosen.to(features.device)]


class TrainingViews:
    """Frozen features of augmented views, of which a random one is taken of each image."""

    def __init__(
        self, data: RunData, network: FineTunedNetwork, frozen: FrozenFeatures, device: torch.device
    ) -> None:
        self._rows = [domain.rows[domain.in_indices] for domain in data.sources]
        self.labels = [domain.labels[domain.in_indices].to(device) for domain in data.sources]
        self._network, self._frozen, self._device = network, frozen, device

    @torch.no_grad()
    def take(self, domain: int, chosen: Tensor, generator: torch.Generator) -> Tensor:
        """Return the features of a random view of images."""
        rows = self._rows[domain][chosen.numpy()]
        features = self._frozen.draw_views(rows, generator).to(self._device)
        is_linear = isinstance(self._network.module, FrozenNetwork)
        return self._network.features(features) if is_linear else features


def train_head_on(
    data: RunData,
    network: FineTunedNetwork,
    spec: RunSpec,
    execution: Execution,
    feature_rms: float,
    generators: Mapping[str, torch.Generator],
    stop_if_asked: Callable[[], None],
    frozen: FrozenFeatures | None = None,
    phases: Phases = SILENT,
    mask_basis: MaskBasis | None = None,
) -> HeadTrained:
    """Train the last layer on the sources' training images and return the event.

    Arguments as in :func:`cache_features` and :func:`train_head`; ``frozen``: features with the
    views to train on; None: images without augmentation. All ranks end with the same weights.
    ``mask_basis`` is computed of the cached features; None: masks drop units.
    """
    began = time.perf_counter()
    ranks = execution.ranks
    inputs: HeadInput
    if frozen is not None:
        inputs = TrainingViews(data, network, frozen, execution.device)
    else:
        inputs = plain_features(data, network, spec, execution, stop_if_asked, phases)
    if mask_basis is not None and mask_basis.is_due(step=0):
        if isinstance(inputs, TrainingFeatures):
            mask_basis.compute(inputs.features)
        else:
            mask_basis.compute(first_features(data, network, spec, execution))
    basis = None if mask_basis is None else mask_basis.current
    training = phases.begin("training_last_layer", spec.head_steps)

    def after_step() -> None:
        training.advance()
        stop_if_asked()

    loss = train_head(network, inputs, feature_rms, spec, generators, after_step, basis)
    ranks.copy_first(network.head.parameters())
    return HeadTrained(steps=spec.head_steps, loss=loss, wall_s=time.perf_counter() - began)


def plain_features(
    data: RunData,
    network: FineTunedNetwork,
    spec: RunSpec,
    execution: Execution,
    stop_if_asked: Callable[[], None],
    phases: Phases = SILENT,
) -> TrainingFeatures:
    """Return the features of the sources' training images without augmentation, and report them."""
    domains = [
        training_images(domain, network, spec, execution.device, ranks=execution.ranks)
        for domain in data.sources
    ]
    images = sum(len(domain.in_indices) for domain in data.sources)
    caching = phases.begin("caching_features", images)

    def after_batch(done: int) -> None:
        caching.advance(done)
        stop_if_asked()

    return cache_features(network, domains, execution, after_batch)


def cache_features(
    network: FineTunedNetwork,
    domains: Iterable[Iterable[tuple[Tensor, Tensor]]],
    execution: Execution,
    after_batch: Callable[[int], None],
) -> TrainingFeatures:
    """Run the backbone once over images; the network is left in evaluation mode.

    Args:
        network: the network, on its device.
        domains: batches of each domain: this rank's images (b, 3, S, S), normalised, and the labels
            of all images, (B,).
        execution: precision and memory format.
        after_batch: called with the number of images of each batch; may raise to stop.
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
                after_batch(len(labels))
            features, labels = (torch.cat(parts) for parts in zip(*pairs, strict=True))
            cached.append((features, labels))
    return TrainingFeatures(cached)


def first_features(
    data: RunData, network: FineTunedNetwork, spec: RunSpec, execution: Execution
) -> Tensor:
    """Return the features of the first training images of each source, (N, D) on every rank.

    Images are not augmented. The network is left in evaluation mode.
    """
    domains = [
        training_images(domain, network, spec, execution.device, BASIS_IMAGES, execution.ranks)
        for domain in data.sources
    ]
    return cache_features(network, domains, execution, lambda _: None).features


def train_head(
    network: FineTunedNetwork,
    inputs: HeadInput,
    feature_rms: float,
    spec: RunSpec,
    generators: Mapping[str, torch.Generator],
    between_steps: Callable[[], None],
    basis: Basis | None = None,
) -> float:
    """Train the last layer for ``spec.head_steps`` steps with the dropout of the run's first step.

    It starts from zero, unless it was trained for the same classes before.

    Arguments and result as of :func:`train_further`.
    """
    if not network.is_head_trained:
        torch.nn.init.zeros_(network.head.weight)
        torch.nn.init.zeros_(network.head.bias)
    return train_further(network, inputs, feature_rms, spec, generators, between_steps, basis)


def train_further(
    network: FineTunedNetwork,
    inputs: HeadInput,
    feature_rms: float,
    spec: RunSpec,
    generators: Mapping[str, torch.Generator],
    between_steps: Callable[[], None],
    basis: Basis | None = None,
) -> float:
    """Train the last layer for ``spec.head_steps`` steps from its present weights.

    Args:
        network: the network; only its last layer changes.
        inputs: features to train on.
        feature_rms: root mean square of a feature.
        spec: batch size, sampling, class weights, dropout rate and masks.
        generators: ``batches`` draws the batches (CPU), ``masks`` the masks (device).
        between_steps: called after every step; may raise to stop.
        basis: directions that masks drop; None: units.

    Returns:
        The mean loss (nats) of the last tenth of the steps.
    """
    lr = HEAD_LR / feature_rms
    optimizer = torch.optim.Adam(network.head.parameters(), lr=lr)
    counted = max(1, spec.head_steps // 10)
    rate = dropout_rate_at(spec, 0) if spec.mask_at == LAST else 0.0  # blocks are not run here
    loss_sum = 0.0
    samplers = [Sampler(labels, spec.sampling) for labels in inputs.labels]
    of_class = _weights_of_classes(inputs, spec)
    for step in range(spec.head_steps):
        optimizer.param_groups[0]["lr"] = (
            lr * 0.5 * (1 + math.cos(math.pi * step / spec.head_steps))
        )
        features, labels = _draw(inputs, samplers, spec.batch_size, generators["batches"])
        loss = masked_cross_entropy(
            network.head, features, labels,
            dropout_rate=rate, masks=spec.masks, generator=generators["masks"],
            draws=spec.mask_draws, basis=basis,
            weights=None if of_class is None else of_class[labels],
        )  # fmt: skip
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step >= spec.head_steps - counted:
            loss_sum += float(loss.detach())
        between_steps()
    return loss_sum / counted


def _weights_of_classes(inputs: HeadInput, spec: RunSpec) -> Tensor | None:
    """Return the weights of the classes on the device; None if all are 1."""
    if spec.class_weights == "none":
        return None
    return class_weights(torch.cat(list(inputs.labels)), spec.class_weight_power)


def _draw(
    inputs: HeadInput, samplers: Sequence[Sampler], count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return ``count`` features of each domain and their labels."""
    drawn = []
    for domain, (labels, sampler) in enumerate(zip(inputs.labels, samplers, strict=True)):
        chosen = sampler.draw(count, generator)
        features = inputs.take(domain, chosen, generator)
        drawn.append((features, labels[chosen.to(labels.device)]))
    features, labels = (torch.cat(parts) for parts in zip(*drawn, strict=True))
    return features, labels
