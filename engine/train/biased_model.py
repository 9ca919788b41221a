"""A biased model: a weak probe of what the first stage of a network shows, such as texture.

A multinomial logistic regression on the mean over positions of the stage's output. Each image is
judged by a fit on other images, as a probe that knows an image is certain of its label whatever it
shows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor

from engine.data import RunData, evaluation_batches, groups_of, seed_hash
from engine.data.folds import stratified_folds
from engine.errors import InputError
from engine.evaluate.logistic import fit_multinomial_folds
from engine.execution import Execution
from engine.model import FineTunedNetwork
from engine.model.blocks import block_outputs, mean_over_positions, output_width, stage_blocks
from engine.model.linear import FrozenNetwork, SideBySide
from engine.protocol import RunSpec
from engine.rundir.phases import Phases

FOLDS: Final = 5
TOLERANCE: Final = 1e-4
"""Largest partial derivative of the mean loss: finer than a soft target needs."""


def true_class_probabilities(
    spec: RunSpec, data: RunData, network: FineTunedNetwork, execution: Execution,
    stop_if_asked: Callable[[], None], phases: Phases,
) -> Tensor:  # fmt: skip
    """Return a biased model's probability of the true class of each training image, (n,) float32.

    They are source by source. Copies of an image, and images of a group, are in one fold.

    Args:
        spec: of the run.
        data: its images, not their frozen features.
        network: before its first step; left in evaluation mode.
        execution: where the network computes.
        stop_if_asked: called after each batch and fit; raises to abort.
        phases: reports the progress.

    Raises:
        InputError: if the network has no stages, or their outputs are not finite.
    """
    features = first_stage_features(spec, data, network, execution, stop_if_asked, phases)
    labels = torch.cat([domain.labels[domain.in_indices] for domain in data.sources])
    report = phases.progress("fitting_biased_model")

    def on_progress(done: int, total: int) -> None:
        report(done, total)
        stop_if_asked()

    rows = [row for each in data.sources for row in each.rows[each.in_indices].tolist()]
    fold = stratified_folds(
        features, labels, FOLDS, seed_hash("biased model", spec.seed),
        groups_of(data.image_set, rows),
    )  # fmt: skip
    fits = fit_multinomial_folds(
        features, labels, len(data.classes), _numbered(fold),
        tolerance=TOLERANCE, on_progress=on_progress,
    )  # fmt: skip
    probabilities = fits.logits.softmax(dim=1)
    return probabilities.gather(1, labels[:, None])[:, 0].float()


def first_stage_features(
    spec: RunSpec, data: RunData, network: FineTunedNetwork, execution: Execution,
    stop_if_asked: Callable[[], None], phases: Phases,
) -> Tensor:  # fmt: skip
    """Return the mean over positions of the first stage's output, (n, C) float32 on the CPU.

    Of several networks, the first one's. Arguments and errors as for
    :func:`true_class_probabilities`.
    """
    backbone: Any = network.module
    if isinstance(backbone, FrozenNetwork):
        backbone = backbone.backbone
    if isinstance(backbone, SideBySide):
        backbone = backbone.networks[0]
    name = next(iter(stage_blocks(backbone).values()), None)
    if name is None:
        raise InputError(
            f"{spec.model} has no stages that are known, so objective {spec.objective} has no "
            "biased model. Choose a ResNet, EfficientNet, ConvNeXt, ViT or Swin."
        )
    execution.prepare(network.module)
    network.module.eval()
    found: list[Tensor] = []
    total = sum(len(domain.in_indices) for domain in data.sources)
    with phases.begin("fitting_biased_model", total) as reading, torch.no_grad():
        for domain in data.sources:
            for images, labels in evaluation_batches(
                domain, domain.in_indices, spec.eval_batch_size, network.mean, network.std,
                execution.device, execution.ranks,
            ):  # fmt: skip
                read = images if len(images) else images.new_zeros(1, *images.shape[1:])
                [output] = block_outputs(backbone, [name], execution.lay_out(read))
                width = output_width(output)
                if width is None:
                    raise InputError(f"The output of {name} of {spec.model} is not one tensor.")
                pooled = mean_over_positions(output, width).float()[: len(images)]
                found.append(execution.ranks.gather(pooled, len(labels)).cpu())
                reading.advance(len(labels))
                stop_if_asked()
    features = torch.cat(found)
    if not bool(features.isfinite().all()):
        raise InputError(f"The output of {name} of {spec.model} is not finite: check --weights.")
    execution.ranks.copy_first([features])
    return features


def _numbered(fold: Tensor) -> Tensor:
    """Return folds without the numbers that no image has."""
    numbered: Tensor = torch.unique(fold, return_inverse=True)[1]
    return numbered
