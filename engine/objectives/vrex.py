"""Risk extrapolation: the losses of all sources should be equal.

Krueger et al., "Out-of-Distribution Generalization via Risk Extrapolation (REx)", arXiv 2003.00688,
section 3.2, in the form of DomainBed (facebookresearch/DomainBed, ``algorithms.py``, ``VREx``).
"""

from __future__ import annotations

from torch import Tensor

from engine.objectives.objective import Batch, Penalty
from engine.protocol import annealing_steps

EARLY_WEIGHT = 1.0
"""Weight of the variance in the first steps."""


class VREx(Penalty):
    """The variance of the sources' losses.

    ``vrex_weight`` is DomainBed's ``vrex_lambda``; it applies after ``vrex_anneal_steps`` steps,
    ``vrex_penalty_anneal_iters`` there.
    """

    def forward(self, batch: Batch, losses: Tensor) -> Tensor:
        """Return the weighted variance, a scalar."""
        of_source = losses.view(len(losses), batch.domains, -1).mean(dim=(0, 2))
        is_early = batch.step < annealing_steps(self.spec)
        weight = EARLY_WEIGHT if is_early else self.spec.vrex_weight
        return weight * of_source.var(unbiased=False)
