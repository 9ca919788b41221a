"""Accuracy and loss of a network on images of one domain."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.execution import Execution
from engine.model import FineTunedNetwork


@dataclass(frozen=True)
class DomainResult:
    """Counts over the images of one split of one domain.

    ``loss_sum`` is in nats; ``predicted`` counts predictions by class, (C,).
    """

    images: int
    correct: int
    loss_sum: float
    predicted: Tensor

    @property
    def accuracy(self) -> float:
        """Return the share of images classified correctly."""
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
    """Evaluate without masks; the network is left in evaluation mode.

    Args:
        network: the network, on its device.
        batches: pairs of images (B, 3, S, S), normalised, and labels (B,) int64.
        execution: precision and memory layout.
    """
    network.module.eval()
    classes = network.head.out_features
    device = execution.device
    correct = torch.zeros((), dtype=torch.int64, device=device)
    loss_sum = torch.zeros((), dtype=torch.float64 if device.type == "cpu" else torch.float32)
    loss_sum = loss_sum.to(device)
    predicted = torch.zeros(classes, dtype=torch.int64, device=device)
    images_seen = 0
    with torch.inference_mode():
        for images, labels in batches:
            with execution.autocast():
                logits = network.module(execution.lay_out(images))
            logits = logits.float()
            guesses = logits.argmax(dim=1)
            correct += (guesses == labels).sum()
            predicted += torch.bincount(guesses, minlength=classes)
            loss_sum += F.cross_entropy(logits, labels, reduction="sum")
            images_seen += len(labels)
    return DomainResult(images_seen, int(correct), float(loss_sum), predicted.cpu())
