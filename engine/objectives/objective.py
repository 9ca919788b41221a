"""What an objective is: the weighted mean of the images' losses, plus penalties."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.data import Pairs, RunData
from engine.model import LastLayer
from engine.objectives.abstention import (
    Abstention,
    LogOdds,
    abstaining_loss,
    answering_loss,
    split_logits,
)
from engine.protocol import RunSpec

EARLIER_NAMES: Final = {"weights": "groupdro.weights"}
"""Names of tensors in checkpoints of earlier versions, which had one objective a run."""


@dataclass(frozen=True)
class Teaching:
    """What two other models predict for the n training images, source by source as in a task.

    Attributes:
        log_probabilities: of a teacher, (n, C) float32, in nats.
        bias: β, a biased model's probability of the true class, (n,) float32.
    """

    log_probabilities: Tensor
    bias: Tensor


@dataclass(frozen=True)
class Task:
    """What a run learns: the training images of its sources, and the sizes of its network.

    Attributes:
        rows: rows of each source's training images in the image set, (n,) int64.
        labels: their classes, (n,) int64, on the CPU.
        images: N, number of rows of the image set.
        classes: C.
        features: D, width of the penultimate representation.
        teaching: of a run with a teacher, unless it is resumed: its checkpoint has what it needs.
    """

    rows: tuple[Tensor, ...]
    labels: tuple[Tensor, ...]
    images: int
    classes: int
    features: int
    teaching: Teaching | None = None

    @classmethod
    def of(cls, data: RunData, features: int, teaching: Teaching | None = None) -> Task:
        """Return the task of a run's data and a network of ``features`` features."""
        rows = tuple(torch.from_numpy(each.rows[each.in_indices]) for each in data.sources)
        labels = tuple(each.labels[each.in_indices].cpu() for each in data.sources)
        return cls(rows, labels, len(data.image_set), len(data.classes), features, teaching)

    @property
    def domains(self) -> int:
        """Return the number of sources."""
        return len(self.rows)


@dataclass(frozen=True)
class Batch:
    """The network's outputs on a batch with equally many images of each source.

    Attributes:
        logits: (K, B, C) float32, for K masks.
        features: unmasked, (B, D) float32.
        labels: (B,) int64, ordered by domain.
        rows: rows of the images in the image set, (B,) int64, on the CPU.
        domains: number of sources in the batch.
        step: number of updates before this one.
        pairs: how the images were mixed; ``labels`` and ``rows`` are of the first of each pair.
            None: they were not.
        abstention: log-odds of abstaining, also of outliers; None: the run has none.
    """

    logits: Tensor
    features: Tensor
    labels: Tensor
    rows: Tensor
    domains: int
    step: int
    pairs: Pairs | None = None
    abstention: LogOdds | None = None


class Part(nn.Module):
    """A part of an objective. Its buffers are saved in checkpoints; its parameters are trained
    with the last layer.

    ``fixed`` names buffers that no step changes, so that ranks need not compare them.
    """

    fixed: ClassVar[tuple[str, ...]] = ()

    def __init__(self, spec: RunSpec, task: Task) -> None:
        """Prepare for a run."""
        super().__init__()
        self.spec, self.task = spec, task

    def note(self) -> str | None:
        """Return what the user should know about the run after its last step."""
        return None


class Loss(Part):
    """The loss of each image."""

    def forward(self, batch: Batch) -> Tensor:
        """Return the losses of a batch, (K, B), in nats."""
        raise NotImplementedError

    def mean(self, batch: Batch) -> Tensor:
        """Return the mean of the losses, a scalar in nats."""
        losses: Tensor = self(batch)
        return losses.mean()


class Weighting(Part):
    """The weight of each image's loss. It may change its state if gradients are on."""

    def forward(self, batch: Batch, losses: Tensor) -> Tensor:
        """Return the weights of a batch, (B,), around 1.

        ``losses`` (K, B) are weighted by the weightings before this one, and have no gradients.
        """
        raise NotImplementedError


class Penalty(Part):
    """A term that is added to the weighted mean of the losses."""

    def forward(self, batch: Batch, losses: Tensor) -> Tensor:
        """Return the term, a scalar in nats; ``losses`` (K, B) are the images' own."""
        raise NotImplementedError


class ERM(Loss):
    """Cross-entropy: empirical risk minimisation."""

    def forward(self, batch: Batch) -> Tensor:
        """Return the cross-entropy of each image, (K, B), in nats."""
        return cross_entropy(batch.logits, batch.labels)

    def mean(self, batch: Batch) -> Tensor:
        """Return the mean cross-entropy as torch adds it up, so that it equals other programs'."""
        labels = batch.labels.repeat(len(batch.logits))
        return F.cross_entropy(batch.logits.flatten(0, 1), labels)


class Objective(nn.Module):
    """The weighted mean of the images' losses over images and masks, plus penalties.

    With outliers, the losses include the class "abstain", and the mean loss of the outliers is
    added: see :class:`~engine.objectives.abstention.Abstention`.
    """

    def __init__(
        self,
        loss: Loss,
        others: Mapping[str, Weighting | Penalty],
        abstention: Abstention | None = None,
    ) -> None:
        """``others``: weightings, in the order in which they apply, and penalties, by name."""
        super().__init__()
        self.loss = loss
        self.abstention = abstention
        self.others = list(others.values())
        for name, part in others.items():  # the names of their tensors in checkpoints
            self.add_module(name, part)

    def last_layer(self, head: nn.Linear) -> LastLayer:
        """Return the last layer of training: the network's, (…, D) to (…, C), or with outliers
        also the row of the class "abstain", to (…, C + 1)."""
        return head if self.abstention is None else self.abstention.joined_to(head)

    def split(self, logits: Tensor, images: int) -> tuple[Tensor, LogOdds | None]:
        """Return the logits of ``images`` labelled images, (K, B, C), and the log-odds of
        abstaining; ``logits`` are those of :meth:`last_layer`, with outliers after the images."""
        return (logits, None) if self.abstention is None else split_logits(logits, images)

    def forward(self, batch: Batch) -> Tensor:
        """Return the loss, a scalar in nats; update the parts' state if gradients are on."""
        if not self.others and batch.abstention is None:
            return self.loss.mean(batch)
        losses: Tensor = self.loss(batch)
        if batch.abstention is not None:
            losses = losses + answering_loss(batch.abstention.images)
        weighted = losses
        for part in self.others:
            if isinstance(part, Weighting):
                weighted = part(batch, weighted.detach()) * weighted
        total = weighted.mean()
        for part in self.others:
            if isinstance(part, Penalty):
                total = total + part(batch, losses)
        if batch.abstention is not None:
            total = total + abstaining_loss(batch.abstention.outliers).mean()
        return total

    def notes(self) -> Iterator[str]:
        """Yield what the user should know about the run after its last step."""
        for part in (self.loss, *self.others):
            if (note := part.note()) is not None:
                yield note

    def changing_buffers(self) -> list[Tensor]:
        """Return the buffers that steps change."""
        return [
            buffer
            for part in (self.loss, *self.others)
            for name, buffer in part.named_buffers()
            if name not in part.fixed
        ]

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the state of a checkpoint."""
        self.load_state_dict(
            {EARLIER_NAMES.get(name, name): tensor for name, tensor in tensors.items()}
        )


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of each image under each mask, (K, B), in nats.

    Args:
        logits: (K, B, C).
        targets: classes (B,) int64, or probabilities (B, C).
    """
    masks = len(logits)
    repeated = targets.repeat(masks, *[1] * (targets.ndim - 1))
    losses = F.cross_entropy(logits.flatten(0, 1), repeated, reduction="none")
    return losses.view(masks, -1)
