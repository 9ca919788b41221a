"""Accuracy with few units of the penultimate representation: how redundant the features are."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from engine.diagnose.inputs import check_features, check_labels

SHARES: Final = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
"""Shares of the units to keep, the largest first."""
MASKS: Final = 20
"""Random choices of units for each share."""


@dataclass(frozen=True)
class KeptUnits:
    """The accuracy with a share of the units.

    Attributes:
        share: wanted share of the units, 0 to 1.
        units: number of units kept, at least 1.
        accuracies: of each mask, 0 to 1; a single one if all units are kept.
    """

    share: float
    units: int
    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Return the mean accuracy over masks."""
        return statistics.fmean(self.accuracies)

    @property
    def sd(self) -> float | None:
        """Return the standard deviation over masks; None if all units are kept."""
        return statistics.stdev(self.accuracies) if len(self.accuracies) > 1 else None


def accuracy_of_kept_units(
    features: Tensor,
    labels: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    shares: Sequence[float] = SHARES,
    masks: int = MASKS,
    seed: int = 0,
) -> tuple[KeptUnits, ...]:
    """Return the accuracy when only some units are kept, for each share.

    A mask keeps the same units for all images; the others are zero. Kept units are divided by the
    share that is kept, as dropout divides them in training: Zhang & Bottou, arXiv 2403.00946,
    section 3, with 1 − λ = kept units / D. Masks depend on D and the seed only, so that runs and
    domains are compared with the same units; the units of a smaller share are among those of a
    larger one.

    Args:
        features: penultimate representation (N, D) float32.
        labels: (N,) int64.
        weight: of the last layer, (C, D).
        bias: of the last layer, (C,), if it has one.
        shares: to keep, above 0 and at most 1.
        masks: number of masks for each share.
        seed: of the masks.

    Raises:
        InputError: if there is no image, or a feature is NaN or infinite.
        ValueError: if a share or the number of masks is out of range.
    """
    check_features(features)
    check_labels(labels, len(features))
    if masks < 1 or not all(0 < share <= 1 for share in shares):
        raise ValueError("shares must be above 0 and at most 1, and masks at least 1")
    dimensions = features.shape[1]
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(dimensions, generator=generator) for _ in range(masks)]
    by_unit = features.T.contiguous()  # units are rows, so that choosing some is a plain copy
    weight, offset = weight.float(), 0.0 if bias is None else bias.float()[:, None]
    found = []
    for share in shares:
        units = max(1, round(share * dimensions))
        chosen = orders if units < dimensions else [torch.arange(dimensions)]
        accuracies = []
        for order in chosen:
            kept = order[:units].sort().values
            logits = (weight[:, kept] * (dimensions / units)) @ by_unit[kept] + offset
            accuracies.append(int((logits.argmax(dim=0) == labels).sum()) / len(labels))
        found.append(KeptUnits(share, units, tuple(accuracies)))
    return tuple(found)
