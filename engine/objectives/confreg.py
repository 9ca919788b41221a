"""Confidence regularisation: a teacher's probabilities, flatter where a biased model is right.

Utama et al., "Mind the Trade-off: Debiasing NLU Models without Degrading the In-distribution
Performance", ACL 2020, arXiv 2005.00315, section 3; github.com/UKPLab/
acl2020-confidence-regularization.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from engine.objectives.objective import Batch, Loss, Task, cross_entropy
from engine.protocol import RunSpec


class ConfidenceRegularization(Loss):
    """The cross-entropy against the scaled probabilities of a teacher.

    The targets are computed once, and checkpoints contain them: a resumed run needs no teacher, and
    is the same even if the teacher has changed.
    """

    fixed: ClassVar[tuple[str, ...]] = ("targets",)

    def __init__(self, spec: RunSpec, task: Task) -> None:
        super().__init__(spec, task)
        rows = torch.cat(task.rows)
        targets = torch.zeros(len(rows), task.classes)
        if task.teaching is not None:
            targets = scaled(task.teaching.log_probabilities, task.teaching.bias)
        self.register_buffer("targets", targets)
        self.targets: Tensor
        self._place = torch.zeros(task.images, dtype=torch.long)
        self._place[rows] = torch.arange(len(rows))

    def forward(self, batch: Batch) -> Tensor:
        """Return the cross-entropy of each image, (K, B), in nats."""
        places = self._place[batch.rows].to(self.targets.device)
        return cross_entropy(batch.logits, self.targets[places])


def scaled(log_probabilities: Tensor, bias: Tensor) -> Tensor:
    """Return soft targets s_j = t_j^(1−β) / Σ_k t_k^(1−β), (n, C).

    The more certain a biased model is of the true class, the flatter is the target: t where β = 0,
    uniform where β = 1.

    Args:
        log_probabilities: log t of a teacher, (n, C), finite.
        bias: β, a biased model's probability of the true class, (n,).
    """
    return ((1 - bias)[:, None] * log_probabilities).softmax(dim=1)
