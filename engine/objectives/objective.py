"""What an objective is, and empirical risk minimisation."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from engine.protocol import RunSpec


@dataclass(frozen=True)
class Batch:
    """The network's outputs on a batch with equally many images of each source.

    Attributes:
        logits: (K, B, C) float32, for K masks.
        features: unmasked, (B, D).
        labels: (B,) int64, ordered by domain.
        domains: number of sources in the batch.
    """

    logits: Tensor
    features: Tensor
    labels: Tensor
    domains: int


class Objective(nn.Module):
    """A loss in nats over a batch. Its buffers are saved in checkpoints."""

    def __init__(self, spec: RunSpec, domains: int) -> None:
        """Prepare for batches of ``domains`` sources of a run."""
        super().__init__()
        self.spec, self.domains = spec, domains

    def forward(self, batch: Batch) -> Tensor:
        """Return the loss, a scalar."""
        raise NotImplementedError


class ERM(Objective):
    """The cross-entropy averaged over images and masks."""

    def forward(self, batch: Batch) -> Tensor:
        """Return the loss, a scalar in nats."""
        labels = batch.labels.repeat(len(batch.logits))
        return F.cross_entropy(batch.logits.flatten(0, 1), labels)
