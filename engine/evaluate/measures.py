"""Accuracy, loss, confusion matrix and other measures of a network on one domain.

See :mod:`engine.protocol.measures`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.execution import Execution
from engine.model import FineTunedNetwork

MOST_MISTAKES: Final = 1_000
"""Maximum number of misclassified images of a split that are recorded individually."""
BINS: Final = 15
"""Bins of the calibration error, as in Guo et al. 2017."""


@dataclass(frozen=True)
class Mistake:
    """A misclassified image: the ``position``-th one evaluated, from 0.

    ``confidence`` is the predicted probability (0 to 1) of the class ``predicted``,
    ``second_confidence`` that of the next most probable class ``second``; None: there is only one.
    """

    position: int
    label: int
    predicted: int
    confidence: float
    second: int | None = None
    second_confidence: float = 0.0


@dataclass(frozen=True)
class DomainResult:
    """Predictions on the images of one split of one domain.

    Attributes:
        confusion: number of images by label (rows) and predicted class, (C, C) int64.
        loss_sum: sum of the cross-entropies in nats.
        guesses: the prediction on each image, if they were kept.
        logits: of every image in order, (n, C) float32 on the CPU, if they were kept.
        measures: value of each measure by name; NaN if it is not defined.
    """

    confusion: Tensor
    loss_sum: float
    guesses: Guesses | None = None
    logits: Tensor | None = None
    measures: Mapping[str, float] = field(default_factory=dict)

    @functools.cached_property
    def mistakes(self) -> tuple[Mistake, ...]:
        """Return the most confident mistakes, at most ``MOST_MISTAKES``, most confident first."""
        return () if self.guesses is None else _most_confident_mistakes(self.guesses)

    @property
    def images(self) -> int:
        """Return the number of images."""
        return int(self.confusion.sum())

    @property
    def correct(self) -> int:
        """Return the number of images classified correctly."""
        return int(self.confusion.trace())

    @property
    def predicted(self) -> Tensor:
        """Return the number of predictions of each class, (C,)."""
        return self.confusion.sum(dim=0)

    @property
    def accuracy(self) -> float:
        """Return the fraction of images classified correctly."""
        return self.correct / self.images

    @property
    def loss(self) -> float:
        """Return the mean cross-entropy in nats."""
        return self.loss_sum / self.images


def evaluate(
    network: FineTunedNetwork,
    batches: Iterable[tuple[Tensor, Tensor]],
    execution: Execution,
) -> DomainResult:
    """Evaluate without dropout; the network is left in evaluation mode.

    Args:
        network: the network, on its device.
        batches: pairs of images (B, 3, S, S), normalised, and labels (B,) int64.
        execution: memory format, folding and ranks.
    """
    return judge(predict(network, batches, execution), network.head.out_features)


def predict(
    network: FineTunedNetwork,
    batches: Iterable[tuple[Tensor, Tensor]],
    execution: Execution,
    folded: AbstractContextManager[None] | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the logits (B, C) float32 and the labels (B,) of each batch, on the device.

    They are computed in fp32, whatever the training precision, so that accuracies of different runs
    are comparable. Arguments as for :func:`evaluate`; each rank has its share of the images.
    ``folded`` is the network's, if it was computed before for several sets of images.
    """
    network.module.eval()
    folded = folded or network.folded(execution.folds_inference)
    for images, labels in batches:
        with torch.inference_mode(), folded:
            if len(images):
                logits = network.module(execution.lay_out(images)).float()
            else:  # the last batch has fewer images than ranks
                logits = images.new_empty(0, network.head.out_features)
            logits = execution.ranks.gather(logits, len(labels))
        yield logits, labels


def judge(
    predictions: Iterable[tuple[Tensor, Tensor]], classes: int, *, keeps_logits: bool = False
) -> DomainResult:
    """Compare predictions with labels.

    Five numbers are kept for each image, and optionally its logits.

    Args:
        predictions: pairs of logits (B, C) and labels (B,) int64, on one device.
        classes: C.
        keeps_logits: keep the logits.
    """
    tally, kept = Tally(classes), []
    with torch.inference_mode():
        for logits, labels in predictions:
            tally.add(logits, labels)
            if keeps_logits:
                kept.append(logits.cpu())
    result = tally.result()
    return replace(result, logits=torch.cat(kept)) if keeps_logits else result


class Tally:
    """Predictions compared with labels batch by batch; five numbers are kept for each image."""

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._loss_sum: Tensor | float = 0.0
        self._labels: list[Tensor] = []
        self._predicted: list[Tensor] = []
        self._confidences: list[Tensor] = []
        self._second: list[Tensor] = []
        self._second_confidences: list[Tensor] = []

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch: logits (B, C) and labels (B,) int64, always on the same device."""
        log_shares = F.log_softmax(logits, dim=1)
        loss = F.nll_loss(log_shares, labels, reduction="sum")
        self._loss_sum += loss.double() if loss.device.type == "cpu" else loss
        predicted = logits.argmax(dim=1)
        others = log_shares.scatter(1, predicted[:, None], -torch.inf)
        self._labels.append(labels)
        self._predicted.append(predicted)
        self._confidences.append(log_shares.amax(dim=1))
        self._second.append(others.argmax(dim=1))
        self._second_confidences.append(others.amax(dim=1))

    def guesses(self) -> Guesses:
        """Return the prediction on each image, in order."""
        return Guesses(
            torch.cat(self._labels).cpu(),
            torch.cat(self._predicted).cpu(),
            torch.cat(self._confidences).cpu().exp(),
            self._classes,
            torch.cat(self._second).cpu(),
            torch.cat(self._second_confidences).cpu().exp(),
        )

    def result(self) -> DomainResult:
        """Return the confusion matrix, the loss and the measures, without logits."""
        guesses = self.guesses()
        judged = guesses.judged()
        return DomainResult(
            confusion=judged.confusion,
            loss_sum=float(self._loss_sum),
            guesses=guesses,
            measures={name: measured(judged) for name, measured in MEASURED.items()},
        )


@dataclass(frozen=True)
class Guesses:
    """The prediction on each of n images.

    Attributes:
        labels: classes of the images, (n,) int64.
        predicted: predicted classes, (n,) int64.
        confidence: probability that the network gave the class it predicted, (n,) float32.
        classes: C.
        second: next most probable classes, (n,) int64; None: not known.
        second_confidence: their probabilities, (n,) float32; None: not known.
    """

    labels: Tensor
    predicted: Tensor
    confidence: Tensor
    classes: int
    second: Tensor | None = None
    second_confidence: Tensor | None = None

    def take(self, rows: Tensor) -> Guesses:
        """Return the predictions on some images, which may repeat, without the second classes."""
        return Guesses(self.labels[rows], self.predicted[rows], self.confidence[rows], self.classes)

    def judged(self) -> Judged:
        """Return the confusion matrix, and what is right."""
        confusion = _count(self.labels, self.predicted, self.classes)
        return Judged(confusion, self.predicted == self.labels, self.confidence)


def _count(labels: Tensor, guesses: Tensor, classes: int) -> Tensor:
    """Return the confusion matrix, labels by guesses, (C, C) int64."""
    pairs = torch.bincount(labels * classes + guesses, minlength=classes * classes)
    return pairs.view(classes, classes)


def _most_confident_mistakes(guesses: Guesses) -> tuple[Mistake, ...]:
    """Return the wrong guesses with the highest finite confidence."""
    labels, predicted, confidences = guesses.labels, guesses.predicted, guesses.confidence
    wrong = ((labels != predicted) & confidences.isfinite()).nonzero().squeeze(1)
    order = confidences[wrong].argsort(descending=True, stable=True)[:MOST_MISTAKES]
    rows = wrong[order]
    columns = [each[rows].tolist() for each in (labels, predicted, confidences.clamp(max=1.0))]
    seconds: list[tuple[int | None, float]] = [(None, 0.0)] * len(rows)
    if guesses.second is not None and guesses.second_confidence is not None and guesses.classes > 1:
        shares = guesses.second_confidence[rows].nan_to_num(0.0).clamp(max=1.0)
        seconds = [*zip(guesses.second[rows].tolist(), shares.tolist(), strict=True)]
    return tuple(
        Mistake(at, label, guess, confidence, *second)
        for at, label, guess, confidence, second in zip(
            rows.tolist(), *columns, seconds, strict=True
        )
    )


@dataclass(frozen=True)
class Judged:
    """Predictions on the images of one split, compared with their labels.

    Attributes:
        confusion: number of images by label (rows) and predicted class, (C, C) int64.
        is_right: whether each image was classified correctly, (n,) bool.
        confidence: probability that the network gave the class it predicted, (n,) float32.
    """

    confusion: Tensor
    is_right: Tensor
    confidence: Tensor


def balanced_accuracy(judged: Judged) -> float:
    """Return the mean recall of the classes that have images."""
    images = judged.confusion.sum(dim=1)
    recall = judged.confusion.diagonal()[images > 0] / images[images > 0]
    return float(recall.mean())


def calibration_error(judged: Judged) -> float:
    """Return the expected calibration error over :data:`BINS` bins of equal width.

    It is the gap between mean confidence and accuracy in each bin, weighted by its number of
    images; NaN if a confidence is not finite. Guo et al., "On Calibration of Modern Neural
    Networks", ICML 2017, equation 3.
    """
    confidence, is_right = judged.confidence.double(), judged.is_right.double()
    if not confidence.isfinite().all():
        return float("nan")
    gaps = torch.zeros(BINS, dtype=torch.float64)
    gaps.index_add_(0, bins_of(confidence), confidence - is_right)
    return float(gaps.abs().sum() / len(confidence))


def bins_of(confidence: Tensor) -> Tensor:
    """Return the bin of each finite confidence, from 0: bin m, from 1, is ((m − 1)/M, m/M]."""
    return (confidence.double() * BINS).ceil().long().clamp(1, BINS) - 1


MEASURED: Final[Mapping[str, Callable[[Judged], float]]] = {
    "balanced_accuracy": balanced_accuracy,
    "calibration_error": calibration_error,
}
"""How each of :data:`engine.protocol.measures.MEASURES` is computed."""
