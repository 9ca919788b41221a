"""Distributionally robust optimisation with parametric likelihood ratios (RP-DRO).

Michel et al., "Distributionally Robust Models with Parametric Likelihood Ratios", arXiv 2204.06340,
section 3, and their code, github.com/pmichel31415/P-DRO, ``pdro_main.py`` with ``--ratio-model
--renorm-ratios --adv-obj fwd_kl``. An adversary weights the images of a batch; no groups are
needed.
"""

from __future__ import annotations

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.objectives.objective import Batch, Task, Weighting
from engine.protocol import RunSpec, learning_rate_factor

LEAST_RMS: Final = 1e-12
"""Features with a smaller root mean square are not scaled up, so that zeros stay zeros."""


class RPDRO(Weighting):
    """Likelihood ratios w = B · softmax over the batch of the adversary's scores s(x, y).

    The model minimises mean(w · loss), and the adversary −mean(w · loss) + τ · mean(w log w), τ
    being ``rpdro_kl_weight``. s is linear in the unmasked features, divided by the batch's root
    mean square so that the adversary's steps do not depend on the network's scale. It starts at
    zero, and takes one step of gradient descent per batch with the model's learning rate.
    """

    def __init__(self, spec: RunSpec, task: Task) -> None:
        super().__init__(spec, task)
        self.register_buffer("weight", torch.zeros(task.classes, task.features))
        self.register_buffer("bias", torch.zeros(task.classes))
        self.weight: Tensor
        self.bias: Tensor

    def forward(self, batch: Batch, losses: Tensor) -> Tensor:
        """Return the likelihood ratio of each image, (B,); then update the adversary."""
        features = batch.features.detach()
        features = features / features.square().mean().sqrt().clamp_min(LEAST_RMS)
        with torch.enable_grad():
            adversary = [each.detach().requires_grad_() for each in (self.weight, self.bias)]
            scores = F.linear(features, *adversary).gather(1, batch.labels[:, None]).squeeze(1)
            log_ratios = scores.log_softmax(dim=0) + math.log(len(scores))
            ratios = log_ratios.exp()
            divergence = (ratios * log_ratios).mean()
            loss = self.spec.rpdro_kl_weight * divergence - (ratios * losses.mean(dim=0)).mean()
        if torch.is_grad_enabled():
            rate = self.spec.lr * learning_rate_factor(self.spec, batch.step)
            gradients = torch.autograd.grad(loss, adversary)
            self.weight, self.bias = (
                (each - rate * gradient).detach()
                for each, gradient in zip(adversary, gradients, strict=True)
            )
        return ratios.detach()
