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

LEAST_NORM: Final = 1e-12
"""Features of a smaller norm are not scaled up, so that zeros stay zeros."""
SECOND_DECAY: Final = 0.999
TINY: Final = 1e-8
"""β₂ and ε of AdamW, as of :mod:`engine.train.optim`."""


class RPDRO(Weighting):
    """Likelihood ratios w = B · softmax over the batch of the adversary's scores s(x, y).

    The model minimises mean(w · loss), and the adversary −mean(w · loss) + τ · mean(w log w), τ
    being ``rpdro_kl_weight``. s is linear in the unmasked features and 1. Features have a mean
    squared norm of 1 in a batch, so that the adversary's steps depend neither on their scale nor
    on their number. It starts at zero, and takes a step of the model's optimizer, without weight
    decay, with its learning rate.
    """

    def __init__(self, spec: RunSpec, task: Task) -> None:
        super().__init__(spec, task)
        for name in ("adversary", "momentum", "squares"):
            self.register_buffer(name, torch.zeros(task.classes, task.features + 1))
        self.adversary: Tensor
        self.momentum: Tensor
        self.squares: Tensor

    def forward(self, batch: Batch, losses: Tensor) -> Tensor:
        """Return the likelihood ratio of each image, (B,); then update the adversary."""
        features = batch.features.detach()
        norm = features.square().sum(dim=1).mean().sqrt().clamp_min(LEAST_NORM)
        inputs = F.pad(features / norm, (0, 1), value=1.0)
        with torch.enable_grad():
            adversary = self.adversary.detach().requires_grad_()
            scores = (inputs * adversary[batch.labels]).sum(dim=1)
            log_ratios = scores.log_softmax(dim=0) + math.log(len(scores))
            ratios = log_ratios.exp()
            divergence = (ratios * log_ratios).mean()
            loss = self.spec.rpdro_kl_weight * divergence - (ratios * losses.mean(dim=0)).mean()
        if torch.is_grad_enabled():
            [gradient] = torch.autograd.grad(loss, adversary)
            self._take_step(gradient, batch.step)
        return ratios.detach()

    def _take_step(self, gradient: Tensor, step: int) -> None:
        """Update the adversary as the run's optimizer would; ``step`` counts from 0."""
        rate = self.spec.lr * learning_rate_factor(self.spec, step)
        decay = self.spec.momentum
        if self.spec.optimizer == "sgd":
            self.momentum = decay * self.momentum + gradient
            self.adversary = self.adversary - rate * self.momentum
            return
        self.momentum = self.momentum.lerp(gradient, 1 - decay)
        self.squares = self.squares.lerp(gradient.square(), 1 - SECOND_DECAY)
        mean = self.momentum / (1 - decay ** (step + 1))
        scale = (self.squares / (1 - SECOND_DECAY ** (step + 1))).sqrt() + TINY
        self.adversary = self.adversary - rate * mean / scale
