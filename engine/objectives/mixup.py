"""Mixup: the loss of images that are mixed in pairs, against both labels.

Zhang et al., "mixup: Beyond Empirical Risk Minimization", arXiv 1710.09412, section 2. The images
are mixed as they are drawn, see :mod:`engine.data.mixing`.
"""

from __future__ import annotations

from torch import Tensor

from engine.objectives.objective import Batch, Loss, cross_entropy


class Mixup(Loss):
    """γ CE(y_i) + (1 − γ) CE(y_j) of the mixed image γ x_i + (1 − γ) x_j.

    ``mixup_alpha`` is α of γ ~ Beta(α, α).
    """

    def forward(self, batch: Batch) -> Tensor:
        """Return the loss of each mixed image, (K, B), in nats.

        Raises:
            ValueError: if the images of the batch are not mixed.
        """
        if batch.pairs is None:
            raise ValueError("the images are not mixed")
        share = batch.pairs.shares.to(batch.logits.device)
        partners = batch.pairs.partners.to(batch.logits.device)
        own = cross_entropy(batch.logits, batch.labels)
        others = cross_entropy(batch.logits, batch.labels[partners])
        return share * own + (1 - share) * others
