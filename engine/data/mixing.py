"""Images of a batch that are mixed in pairs before the network sees them.

Zhang et al., "mixup: Beyond Empirical Risk Minimization", arXiv 1710.09412, section 2:
x̃ = γ x_i + (1 − γ) x_j with γ ~ Beta(α, α).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Pairs:
    """With which other image of its source each image of a batch is mixed.

    Attributes:
        partners: j, positions of the other images in the batch, (B,) int64, on the CPU.
        shares: γ, the share of the image itself, (B,) float32, on the CPU.
    """

    partners: Tensor
    shares: Tensor

    @classmethod
    def draw(cls, domains: int, of_each: int, alpha: float, generator: torch.Generator) -> Pairs:
        """Draw a partner and a share for each image.

        Args:
            domains: number of sources in the batch.
            of_each: images of each source, at least 2.
            alpha: α of the Beta distribution.
            generator: on the CPU.
        """
        places = torch.arange(domains * of_each)
        ahead = torch.randint(1, of_each, (len(places),), generator=generator)
        partners = places // of_each * of_each + (places + ahead) % of_each
        seed = int(torch.randint(2**63 - 1, (), generator=generator))  # torch draws no Beta from it
        shares = np.random.default_rng(seed).beta(alpha, alpha, len(places))
        return cls(partners, torch.from_numpy(shares).float())

    def mix(self, images: Tensor, share: slice, loaded: slice) -> Tensor:
        """Return γ x_i + (1 − γ) x_j for a slice of the batch.

        Args:
            images: x, or frozen features, of the slice ``loaded`` of the batch, which has all
                images of the sources in ``share``.
            share: the images to return.
            loaded: the images given.
        """
        own = images[share.start - loaded.start : share.stop - loaded.start]
        others = images[(self.partners[share] - loaded.start).to(images.device)]
        shares = self.shares[share].to(images.device)
        return others.lerp(own, shares.view(-1, *[1] * (images.ndim - 1)))


def whole_sources(share: slice, of_each: int) -> slice:
    """Return the slice of a batch with all images of the sources of which ``share`` has some."""
    return slice(share.start // of_each * of_each, -(-share.stop // of_each) * of_each)
