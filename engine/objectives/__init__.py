"""What training makes small, each in a module that bears its name.

To add one: write the module with a class ``Loss``, and give its name a line in
:mod:`engine.protocol.methods`. The loop, checkpoints and the command line need no change.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Batch:
    """What the network made of a batch of equally many images of each source.

    Attributes:
        logits: (K, B, C) float32, under K masks.
        features: unmasked, (B, D).
        labels: (B,) int64, domain after domain.
        domains: number of sources in the batch.
    """

    logits: Tensor
    features: Tensor
    labels: Tensor
    domains: int


class Objective(nn.Module):
    """A loss in nats over a batch. Its buffers are kept in checkpoints."""

    def __init__(self, domains: int) -> None:
        """Prepare for batches of so many sources."""
        super().__init__()
        self.domains = domains

    def forward(self, batch: Batch) -> Tensor:
        """Return the loss, a scalar."""
        raise NotImplementedError


def make_objective(name: str, domains: int, device: torch.device) -> Objective:
    """Make an objective by name, for batches of so many sources."""
    module = importlib.import_module(f"engine.objectives.{name}")
    objective: Objective = module.Loss(domains).to(device)
    return objective
