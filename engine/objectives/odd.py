"""ODD: images whose loss is like that of an image with a random label are dropped.

Song et al., "Robust and On-the-fly Dataset Denoising for Image Classification", ECCV 2020
(arXiv 2003.10647). They model the loss of images with uniformly random labels from the network's
parameters; here every training image has a random label of its own as well, whose loss is
followed as its given label's is. Losses are those of :mod:`engine.evaluate.label_losses`.
"""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np
import torch
from torch import Tensor

from engine.data import seed_hash
from engine.evaluate.label_losses import excess_loss
from engine.objectives.objective import Batch, Task, Weighting
from engine.protocol import RunSpec, first_odd_step
from engine.text import counted

VISITS: Final = 10
"""The running mean of an image's loss is over its first visits, then exponential over as many."""
MOST_COMPARED: Final = 4096
"""Maximum number of images with random labels whose quantile is taken, so that a step is fast."""


class ODD(Weighting):
    """Weight 0 for images above a quantile of the losses of images with random labels.

    ``odd_quantile`` is the quantile; images are dropped from step ``odd_from`` on. An image whose
    loss falls below the quantile again is no longer dropped.

    The loss is averaged over masks. As it is linear in the logits, and they are in the masked
    features, its expectation is the loss without dropout.
    """

    fixed: ClassVar[tuple[str, ...]] = ("random_labels", "compared")

    def __init__(self, spec: RunSpec, task: Task) -> None:
        super().__init__(spec, task)
        rows = torch.cat(task.rows)
        self.first_step = first_odd_step(spec)
        self.register_buffer("visits", torch.zeros(task.images, dtype=torch.int64))
        self.register_buffer("losses", torch.zeros(task.images, 2))  # of given and random labels
        self.register_buffer("random_labels", _other_labels(spec, task))
        compared = rows[:: -(-len(rows) // MOST_COMPARED)]
        self.register_buffer("compared", compared, persistent=False)
        self.visits: Tensor
        self.losses: Tensor
        self.random_labels: Tensor
        self.compared: Tensor

    def forward(self, batch: Batch, losses: Tensor) -> Tensor:
        """Return 0 for dropped images and the same weight for all others, of mean 1, (B,).

        If all images of a batch would be dropped, none is.
        """
        if torch.is_grad_enabled():
            self._follow(batch)
        if batch.step + 1 < self.first_step:
            return torch.ones_like(losses[0])
        is_kept = self._are_dropped(batch.rows.to(self.visits.device)).logical_not()
        is_kept |= ~is_kept.any()
        weights = is_kept.to(losses.dtype)
        return weights / weights.mean()

    def note(self) -> str:
        """Return how many images are dropped after the last step."""
        rows = torch.cat(self.task.rows)
        dropped = int(self._are_dropped(rows.to(self.visits.device)).sum())
        of_all = f"{dropped:,} of {counted(len(rows), 'training image')}"
        return (
            f"Objective odd dropped {of_all} at the end. To find labels that may be wrong: vld "
            "suspects RUN"
        )

    @torch.no_grad()
    def _follow(self, batch: Batch) -> None:
        """Add a batch's losses to the running means; of an image drawn twice, the first."""
        drawn, at = (torch.from_numpy(each) for each in np.unique(batch.rows, return_index=True))
        rows, first = drawn.to(self.visits.device), at.to(self.visits.device)
        labels = torch.stack([batch.labels[first], self.random_labels[rows]], dim=1)
        excess = excess_loss(batch.logits.mean(dim=0)[first])  # (b, C), of every label
        self.visits[rows] += 1
        rate = 1 / self.visits[rows].clamp_max(VISITS)
        found = excess.gather(1, labels).to(self.losses.dtype)
        self.losses[rows] = self.losses[rows].lerp(found, rate[:, None])

    def _are_dropped(self, rows: Tensor) -> Tensor:
        """Return whether images are above the quantile of the random labels seen so far, (B,)."""
        of_random = self.losses[self.compared, 1]
        is_seen = self.visits[self.compared] > 0
        threshold = of_random.where(is_seen, torch.nan).nanquantile(self.spec.odd_quantile)
        return (self.losses[rows, 0] >= threshold) & (self.visits[rows] > 0)


def _other_labels(spec: RunSpec, task: Task) -> Tensor:
    """Return a random label other than the given one of each training image, (N,) int64."""
    generator = torch.Generator().manual_seed(seed_hash("odd", spec.seed))
    shift = torch.randint(1, task.classes, (task.images,), generator=generator)
    labels = torch.zeros(task.images, dtype=torch.int64)
    labels[torch.cat(task.rows)] = torch.cat(task.labels)
    return (labels + shift) % task.classes
