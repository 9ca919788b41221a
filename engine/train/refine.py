"""Refinement: further training of a finished network's last layer on rare or hard images.

After Shi et al., ReFine, github.com/JimengShi/ReFine: training on all data, then fine-tuning of the
last layers on the rare samples, with all other weights frozen. Which images these are is decided on
the training split, not on test data as in the authors' notebooks.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Final, Literal

import msgspec
import torch
from torch import Tensor
from torch.nn import functional

from engine.data import RunData
from engine.errors import InputError
from engine.execution import Execution
from engine.model import FineTunedNetwork
from engine.model.basis import Basis
from engine.protocol import HeadRefined, RunSpec
from engine.rundir.phases import SILENT, Phases
from engine.train.last_layer import HeadInput, TrainingViews, plain_features, train_further
from engine.train.setup import make_generators

RARE_SHARE: Final = 0.5
"""A class is rare if it has fewer training images than this share of the mean over classes."""
HARD_SHARE: Final = 0.25
"""The share of each source's training images, those with the highest loss, that are hard."""


class Subset:
    """Some of the features that a last layer is trained on; domains without any are left out."""

    def __init__(self, inputs: HeadInput, chosen: Sequence[Tensor]) -> None:
        """``chosen``: positions in each domain's training images, on the CPU."""
        self._inputs = inputs
        self._chosen = [(domain, each) for domain, each in enumerate(chosen) if len(each)]

    @property
    def labels(self) -> Sequence[Tensor]:
        """Return the labels of each domain's chosen images."""
        labels = self._inputs.labels
        return [labels[domain][each.to(labels[domain].device)] for domain, each in self._chosen]

    def take(self, domain: int, chosen: Tensor, generator: torch.Generator) -> Tensor:
        """Return the features of chosen images."""
        whole, positions = self._chosen[domain]
        return self._inputs.take(whole, positions[chosen], generator)


def check_refinement(spec: RunSpec, data: RunData) -> None:
    """Check before training that there will be images to refine on.

    Raises:
        InputError: if no class is rare.
    """
    if "refined" not in spec.arms or spec.refine_on == "hard":
        return
    labels = [domain.labels[domain.in_indices] for domain in data.sources]
    if len(rare_classes(labels)) == 0:
        counts = torch.bincount(torch.cat(labels))
        counts = counts[counts > 0]
        raise InputError(
            f"refine_on is 'rare', but no class has fewer than half of the mean of "
            f"{float(counts.double().mean()):.0f} training images (the smallest has "
            f"{int(counts.min())}). Give --refine-on hard, or drop refined from --arms."
        )


def refine_last_layer(
    data: RunData,
    network: FineTunedNetwork,
    spec: RunSpec,
    execution: Execution,
    feature_rms: float,
    stop_if_asked: Callable[[], None],
    phases: Phases = SILENT,
    basis: Basis | None = None,
) -> HeadRefined:
    """Train the last layer of a trained network further and return the event.

    As before the main training (:mod:`engine.train.last_layer`), but from its trained weights, at
    the run's final dropout rate, and on :func:`images_to_refine_on` only. All ranks end with the
    same weights. ``basis``: directions that masks drop; None: units.
    """
    began = time.perf_counter()
    plain = plain_features(data, network, spec, execution, stop_if_asked, phases)
    chosen = images_to_refine_on(spec.refine_on, network, plain.domains)
    inputs: HeadInput = plain
    if (frozen := data.sources[0].frozen) is not None:
        inputs = TrainingViews(data, network, frozen, execution.device)
    training = phases.begin("refining_last_layer", spec.refine_steps)

    def after_step() -> None:
        training.advance()
        stop_if_asked()

    as_trained = msgspec.structs.replace(
        spec, head_steps=spec.refine_steps, dropout_schedule="constant"
    )
    generators = make_generators(spec, execution.device, "refined")
    subset = Subset(inputs, chosen)
    loss = train_further(network, subset, feature_rms, as_trained, generators, after_step, basis)
    execution.ranks.copy_first(network.head.parameters())
    return HeadRefined(
        steps=spec.refine_steps, loss=loss, images=sum(map(len, chosen)),
        wall_s=time.perf_counter() - began,
    )  # fmt: skip


@torch.no_grad()
def images_to_refine_on(
    kind: Literal["rare", "hard"],
    network: FineTunedNetwork,
    domains: Sequence[tuple[Tensor, Tensor]],
) -> list[Tensor]:
    """Return the positions of a domain's training images to refine on, for each domain, in order.

    Args:
        kind: ``rare``: images of :func:`rare_classes`. ``hard``: the quarter of each domain's
            images with the highest cross-entropy without dropout, rounded up.
        network: the network, whose last layer gives the losses.
        domains: unmasked features (n, D) and labels (n,) of each domain's training images.
    """
    if kind == "rare":
        rare = rare_classes([labels for _, labels in domains])
        return [torch.isin(labels.cpu(), rare).nonzero().flatten() for _, labels in domains]
    found = []
    for features, labels in domains:
        losses = functional.cross_entropy(network.head(features), labels, reduction="none").cpu()
        hardest = losses.argsort(descending=True, stable=True)
        found.append(hardest[: math.ceil(HARD_SHARE * len(losses))].sort().values)
    return found


def rare_classes(labels: Sequence[Tensor]) -> Tensor:
    """Return the classes with fewer than half of the mean number of training images.

    Args:
        labels: of the training images of each domain, (n,). The mean is over the classes that have
            any, and over all domains together.
    """
    counts = torch.bincount(torch.cat([each.cpu() for each in labels]))
    mean = counts[counts > 0].double().mean()
    return ((counts > 0) & (counts < RARE_SHARE * mean)).nonzero().flatten()
