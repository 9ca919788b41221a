"""Group distributionally robust optimisation: sources with higher loss get higher weight.

Sagawa et al., "Distributionally Robust Neural Networks for Group Shifts", arXiv 1911.08731,
algorithm 1, with the domains as groups, as in DomainBed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.objectives.objective import Batch, Task, Weighting
from engine.protocol import RunSpec


class GroupDRO(Weighting):
    """Weights of the sources; each step raises those of high losses.

    ``groupdro_step_size`` is η of the weights' exponentiated gradient ascent. The buffer
    ``weights`` (domains,), which checkpoints store, is q: at least 0, with sum 1.
    """

    def __init__(self, spec: RunSpec, task: Task) -> None:
        super().__init__(spec, task)
        self.register_buffer("weights", torch.full((task.domains,), 1 / task.domains))
        self.weights: Tensor

    def forward(self, batch: Batch, losses: Tensor) -> Tensor:
        """Return the weight of each image's source times the number of sources, (B,)."""
        if torch.is_grad_enabled():
            of_domain = losses.view(len(losses), batch.domains, -1).mean(dim=(0, 2))
            raised = self.weights.log() + self.spec.groupdro_step_size * of_domain
            self.weights = raised.softmax(dim=0)  # q exp(η L), normalised, without overflow
        of_each = losses.shape[1] // batch.domains
        return (batch.domains * self.weights).repeat_interleave(of_each)
