"""Group distributionally robust optimisation: sources with higher loss get higher weight.

Sagawa et al., "Distributionally Robust Neural Networks for Group Shifts", arXiv 1911.08731,
algorithm 1, with the domains as groups, as in DomainBed.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.objectives.objective import Batch, Objective
from engine.protocol import RunSpec


class GroupDRO(Objective):
    """Weighted mean of the domains' losses; each step raises the weights of high losses.

    ``groupdro_step_size`` is η of the weights' exponentiated gradient ascent.
    """

    def __init__(self, spec: RunSpec, domains: int) -> None:
        super().__init__(spec, domains)
        self.register_buffer("weights", torch.full((domains,), 1 / domains))
        self.weights: Tensor

    def forward(self, batch: Batch) -> Tensor:
        """Return the weighted loss, a scalar in nats; update the weights if gradients are on."""
        labels = batch.labels.repeat(len(batch.logits))
        losses = F.cross_entropy(batch.logits.flatten(0, 1), labels, reduction="none")
        of_domain = losses.view(len(batch.logits), batch.domains, -1).mean(dim=(0, 2))
        if torch.is_grad_enabled():
            raised = self.weights * (self.spec.groupdro_step_size * of_domain.detach()).exp()
            self.weights = raised / raised.sum()
        return (self.weights * of_domain).sum()  # autocast would run @ in half precision
