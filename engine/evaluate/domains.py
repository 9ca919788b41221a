"""Evaluation of a network on every domain of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

import torch
from torch import Tensor

from engine.data import DomainData, RunData, ValidationAugmentation, evaluation_batches
from engine.data.load import Indices
from engine.evaluate.measures import DomainResult, judge, predict
from engine.execution import Execution
from engine.model import FineTunedNetwork
from engine.protocol import ARMS, AUGMENTED, Metric, Summary
from engine.protocol.evaluated import EVALUATED
from engine.protocol.measures import ACCURACY
from engine.protocol.selection import CRITERIA
from engine.rundir.phases import SILENT, Phases, ReportedPhase

Predictor = Callable[[DomainData, str, Indices], Iterable[tuple[Tensor, Tensor]]]
"""Returns batches of logits (B, C) and labels (B,) for images of a domain's split, ``in``, ``out``
or ``out_augmented``, in the order of their indices."""

_BOTH = ("in", "out")
"""Splits of a domain that is not trained on."""


@dataclass(frozen=True)
class Measured:
    """The result on one split (``in``, ``out`` or ``out_augmented``) of one domain.

    ``indices`` are the evaluated images, in 0 … n−1 of the domain, in order.
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
    measures: Summary
    selection_score: float | None


@dataclass(frozen=True)
class Evaluation:
    """Results of one evaluation of a run.

    ``id_accuracy`` is the mean over the sources on their ``out`` split, augmented if the run
    augments it; ``plain_id_accuracy`` is then the mean without augmentation, otherwise None.
    ``selection_score`` is the measure that selects the step, on the images of ``id_accuracy``;
    None: ``id_accuracy`` does. ``ood_accuracy`` is on the target's ``in`` split, as DomainBed
    reports it; None without a target. ``id_loss`` (nats) and ``predicted`` (predictions by class,
    (C,)) are on the sources' ``out`` splits without augmentation. ``measured`` has the sources'
    ``out`` splits, then ``in`` and ``out`` of the target and of the held-out source; ``augmented``
    has the sources' ``out_augmented`` splits. ``measures`` are the values of each measure on the
    images of ID accuracy without augmentation, and on those of OOD accuracy.
    """

    metrics: list[Metric]
    id_accuracy: float
    ood_accuracy: float | None
    id_loss: float
    predicted: Tensor
    measured: tuple[Measured, ...] = ()
    augmented: tuple[Measured, ...] = ()
    plain_id_accuracy: float | None = None
    measures: Summary = field(default_factory=dict)
    selection_score: float | None = None

    def reported(self) -> Reported:
        """Return what the events of evaluations report, by their fields."""
        return {
            "metrics": self.metrics,
            "id_accuracy": self.id_accuracy,
            "ood_accuracy": self.ood_accuracy,
            "plain_id_accuracy": self.plain_id_accuracy,
            "measures": self.measures,
            "selection_score": self.selection_score,
        }

    @property
    def dominant_class(self) -> int:
        """Return the class predicted most often."""
        return int(self.predicted.argmax())

    @property
    def dominant_share(self) -> float:
        """Return the fraction of validation images predicted as that class."""
        return float(self.predicted.max() / self.predicted.sum())

    @property
    def selection_loss(self) -> float:
        """Return the mean loss (nats) over the sources on the images of ``id_accuracy``."""
        return _mean_loss(self.augmented) if self.augmented else self.id_loss


def network_predictor(
    network: FineTunedNetwork,
    batch_size: int,
    execution: Execution,
    augmentation: ValidationAugmentation | None = None,
    step: int = 0,
) -> Predictor:
    """Return the predictor of a network without dropout, for its current weights.

    ``batch_size`` is per rank. ``augmentation`` produces the images of ``out_augmented`` splits
    for ``step``.
    """

    network.module.eval()
    folded = network.folded(execution.folds_inference)

    def predictions(
        domain: DomainData, split: str, indices: Indices
    ) -> Iterable[tuple[Tensor, Tensor]]:
        load = None
        if split == AUGMENTED and augmentation is not None:
            load = augmentation.of_step(step, domain, execution.device)
        batches = evaluation_batches(
            domain, indices, batch_size, network.mean, network.std, execution.device,
            execution.ranks, load,
        )  # fmt: skip
        return predict(network, batches, execution, folded)

    return predictions


def evaluate_domains(
    predictor: Predictor,
    data: RunData,
    arm: str,
    *,
    keeps_logits: bool = False,
    is_augmented: bool = False,
    select_on: str = "accuracy",
    phases: Phases = SILENT,
) -> Evaluation:
    """Evaluate the sources' ``out`` splits and both splits of every left-out domain.

    Args:
        predictor: computes the logits.
        data: the run's domains.
        arm: arm of the metrics.
        keeps_logits: keep the logits of every image, for an ensemble.
        is_augmented: evaluate the sources' ``out_augmented`` splits as well and select on them.
        select_on: measure that selects, see :mod:`engine.protocol.selection`.
        phases: reports the progress.
    """

    def measure(domain: DomainData, split: str) -> Measured:
        indices = domain.in_indices if split == "in" else domain.out_indices
        evaluating.at(f"{domain.name} ({arm})" if arm in ARMS else domain.name)
        predictions = counted(predictor(domain, split, indices), evaluating)
        result = judge(predictions, len(data.classes), keeps_logits=keeps_logits)
        return Measured(domain, split, indices, result)

    total = sum(len(each.out_indices) for each in data.sources) * (1 + is_augmented)
    total += sum(len(each.labels) for each in data.domains if not each.is_source)
    with phases.begin("evaluating", total, detail=data.sources[0].name) as evaluating:
        sources = [measure(domain, "out") for domain in data.sources]
        target = [] if data.target is None else [measure(data.target, split) for split in _BOTH]
        held_out = [measure(domain, split) for domain in data.held_out for split in _BOTH]
        augmented = [measure(domain, AUGMENTED) for domain in data.sources if is_augmented]
    measured = (*sources, *target, *held_out)
    metrics = [
        Metric(each.split, each.domain.name, arm, metric, _known(value))
        for each in (*measured, *augmented)
        for metric, value in (
            ("accuracy", each.result.accuracy),
            ("loss", each.result.loss),
            *each.result.measures.items(),
        )
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
        measures={name: _summarized(name, sources, target) for name in EVALUATED},
        selection_score=selection_score([each.result for each in augmented or sources], select_on),
    )


def counted(
    batches: Iterable[tuple[Tensor, Tensor]], phase: ReportedPhase
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches, and add their images to a phase."""
    for images, labels in batches:
        yield images, labels
        phase.advance(len(labels))


def selection_score(results: Sequence[DomainResult], select_on: str) -> float | None:
    """Return the mean over the sources of the measure that selects; None: accuracy does."""
    metric = CRITERIA[select_on].metric
    if metric == ACCURACY:
        return None
    return sum(each.measures[metric] for each in results) / len(results)


def _summarized(
    name: str, sources: Sequence[Measured], target: Sequence[Measured]
) -> tuple[float | None, float | None]:
    """Return a measure's mean over the sources, and its value on the target's ``in`` split."""
    of_sources = [each.result.measures[name] for each in sources]
    return (
        _known(sum(of_sources) / len(of_sources)),
        _known(target[0].result.measures[name]) if target else None,
    )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _mean_accuracy(measured: Sequence[Measured]) -> float:
    return sum(each.result.accuracy for each in measured) / len(measured)


def _mean_loss(measured: Sequence[Measured]) -> float:
    return sum(each.result.loss for each in measured) / len(measured)
