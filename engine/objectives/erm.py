"""Empirical risk minimisation: the mean loss over all images."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from engine.objectives.objective import Batch, Objective


class ERM(Objective):
    """The cross-entropy averaged over images and masks."""

    def forward(self, batch: Batch) -> Tensor:
        """Return the loss, a scalar in nats."""
        labels = batch.labels.repeat(len(batch.logits))
        return F.cross_entropy(batch.logits.flatten(0, 1), labels)
