"""Evaluate a network on every domain of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypedDict

import torch
from torch import Tensor

from engine.data import DomainData, RunData, ValidationAugmentation, evaluation_batches
from engine.data.splits import Indices
from engine.evaluate.accuracy import DomainResult, judge, predict
from engine.execution import Execution
from engine.model import FineTunedNetwork
from engine.protocol import AUGMENTED, Metric

Predictor = Callable[[DomainData, str, Indices], Iterable[tuple[Tensor, Tensor]]]
"""Gives logits (B, C) and labels (B,), batch by batch, for images of a domain's split, ``in``,
``out`` or ``out_augmented``, in the order of their indices."""

_BOTH = ("in", "out")
"""Splits of a domain that nothing was trained on."""


@dataclass(frozen=True)
class Measured:
    """What was found on one split (``in``, ``out`` or ``out_augmented``) of one domain.

    ``indices`` are the images it was found on, in 0 … n−1 of the domain, in order.
    """

    domain: DomainData
    split: str
    indices: Indices
    result: DomainResult


class Reported(TypedDict):
    """What the events of evaluations report, by their fields."""

    metrics: list[Metric]
    id_accuracy: float
    ood_accuracy: float | None
    plain_id_accuracy: float | None


@dataclass(frozen=True)
class Evaluation:
    """Accuracies of one moment of a run, and what shows a collapse.

    ``id_accuracy``, which selects, is the mean over the sources of their ``out`` split, augmented
    where the run augments it; ``plain_id_accuracy`` is then the mean without augmentation, and
    None elsewhere. ``ood_accuracy`` is that of the target's ``in`` split, as DomainBed reports it;
    None without a target. ``id_loss`` (nats) and ``predicted``, which counts predictions by class,
    (C,), are of the sources' ``out`` splits without augmentation. ``measured`` has the sources'
    ``out`` splits, then ``in`` and ``out`` of the target and of the source that is held out, if
    there are such; ``augmented`` the sources' ``out_augmented`` splits, where they are measured.
    """

    metrics: list[Metric]
    id_accuracy: float
    ood_accuracy: float | None
    id_loss: float
    predicted: Tensor
    measured: tuple[Measured, ...] = ()
    augmented: tuple[Measured, ...] = ()
    plain_id_accuracy: float | None = None

    def reported(self) -> Reported:
        """Return what the events of evaluations report, by their fields."""
        return {
            "metrics": self.metrics,
            "id_accuracy": self.id_accuracy,
            "ood_accuracy": self.ood_accuracy,
            "plain_id_accuracy": self.plain_id_accuracy,
        }

    @property
    def dominant_class(self) -> int:
        """Return the class predicted most often."""
        return int(self.predicted.argmax())

    @property
    def dominant_share(self) -> float:
        """Return the share of validation images given that class."""
        return float(self.predicted.max() / self.predicted.sum())

    @property
    def selection_loss(self) -> float:
        """Return the loss (nats) on the images of ``id_accuracy``, a mean over the sources."""
        return _mean_loss(self.augmented) if self.augmented else self.id_loss


def network_predictor(
    network: FineTunedNetwork,
    batch_size: int,
    execution: Execution,
    augmentation: ValidationAugmentation | None = None,
    step: int = 0,
) -> Predictor:
    """Return what a network predicts, unmasked, ``batch_size`` images at a time on each rank.

    ``augmentation`` makes the images of ``out_augmented`` splits, as drawn for ``step``.
    """

    def predictions(
        domain: DomainData, split: str, indices: Indices
    ) -> Iterable[tuple[Tensor, Tensor]]:
        how = (batch_size, network.mean, network.std, execution.device, execution.ranks)
        if split == AUGMENTED and augmentation is not None:
            return predict(network, augmentation.batches(step, domain, *how), execution)
        return predict(network, evaluation_batches(domain, indices, *how), execution)

    return predictions


def evaluate_domains(
    predictor: Predictor,
    data: RunData,
    arm: str,
    *,
    keeps_logits: bool = False,
    is_augmented: bool = False,
) -> Evaluation:
    """Evaluate the sources' ``out`` splits and both splits of every left-out domain.

    Args:
        predictor: gives the logits.
        data: the run's domains.
        arm: how the predictions are made, as metrics name it.
        keeps_logits: keep the logits of every image, for an ensemble.
        is_augmented: evaluate the sources' ``out_augmented`` splits as well, and select on them.
    """

    def measure(domain: DomainData, split: str) -> Measured:
        indices = domain.in_indices if split == "in" else domain.out_indices
        predictions = predictor(domain, split, indices)
        result = judge(predictions, len(data.classes), keeps_logits=keeps_logits)
        return Measured(domain, split, indices, result)

    sources = [measure(domain, "out") for domain in data.sources]
    target = [] if data.target is None else [measure(data.target, split) for split in _BOTH]
    held_out = [measure(domain, split) for domain in data.held_out for split in _BOTH]
    augmented = [measure(domain, AUGMENTED) for domain in data.sources if is_augmented]
    measured = (*sources, *target, *held_out)
    metrics = [
        Metric(each.split, each.domain.name, arm, metric, value if math.isfinite(value) else None)
        for each in (*measured, *augmented)
        for metric, value in (("accuracy", each.result.accuracy), ("loss", each.result.loss))
    ]
    return Evaluation(
        metrics=metrics,
        id_accuracy=_mean_accuracy(augmented or sources),
        ood_accuracy=target[0].result.accuracy if target else None,
        id_loss=_mean_loss(sources),
        predicted=torch.stack([each.result.predicted for each in sources]).sum(dim=0),
        measured=measured,
        augmented=tuple(augmented),
        plain_id_accuracy=_mean_accuracy(sources) if is_augmented else None,
    )


def _mean_accuracy(measured: Sequence[Measured]) -> float:
    return sum(each.result.accuracy for each in measured) / len(measured)


def _mean_loss(measured: Sequence[Measured]) -> float:
    return sum(each.result.loss for each in measured) / len(measured)
