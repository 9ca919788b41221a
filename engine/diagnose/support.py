"""Accuracy on the target's images within and outside of the support of the sources.

After Cohen-Wang, Vendrow and Madry, "Ask Your Distribution Shift if Pre-Training is Right for You"
(2024): pre-training helps with images that the sources do not cover, not with biases of the
sources themselves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from engine.errors import InputError
from engine.protocol.intervals import Interval, Sample, accuracy_interval

EPSILON: Final = 0.1
"""An image of the target is out of support if the sources' density is at most this share of the
target's there."""


@dataclass(frozen=True)
class PartOfTarget:
    """Some of the target's images.

    Attributes:
        images: their number.
        correct: number classified correctly; None: the predictions are unknown.
        units: number of independent images: that of their groups if they have any.
    """

    images: int
    correct: int | None
    units: int

    @property
    def accuracy(self) -> float | None:
        """Return the share classified correctly; None: there are no images, or unknown."""
        return None if self.correct is None or not self.images else self.correct / self.images

    @property
    def interval(self) -> Interval | None:
        """Return the 95% score interval (Wilson's) of the accuracy; None without one."""
        if self.accuracy is None:
            return None
        return accuracy_interval([Sample(self.accuracy, self.units)])


@dataclass(frozen=True)
class Support:
    """The target's images by whether the sources cover them.

    Attributes:
        is_out: out of support, (m,) bool.
        inside: the images that the sources cover.
        outside: the images that they do not cover.
        epsilon: see :data:`EPSILON`.
    """

    is_out: Tensor
    inside: PartOfTarget
    outside: PartOfTarget
    epsilon: float

    @property
    def has_predictions(self) -> bool:
        """Return whether it is known which images are classified correctly."""
        return self.inside.correct is not None

    @property
    def out_share(self) -> float:
        """Return the share of the target's images out of support."""
        return self.outside.images / len(self.is_out)


def split_by_support(
    target_log_ratio: Tensor,
    is_right: Tensor | None = None,
    *,
    epsilon: float = EPSILON,
    groups: Tensor | None = None,
) -> Support:
    """Split the target's images by their density ratio: r ≥ 1/ε is out of support.

    Args:
        target_log_ratio: log r of each image of the target, see
            :class:`engine.diagnose.probe.Probe`, (m,) float64.
        is_right: whether each is classified correctly, (m,) bool; None: unknown.
        epsilon: ε, above 0 and at most 1.
        groups: group of each image, such as its video, (m,) int64; intervals count groups.

    Raises:
        InputError: if the target has no images or a ratio is NaN.
        ValueError: if ε is out of range.
    """
    if not 0 < epsilon <= 1:
        raise ValueError(f"epsilon must be above 0 and at most 1, not {epsilon}")
    if len(target_log_ratio) == 0:
        raise InputError("The target has no images.")
    if target_log_ratio.isnan().any():
        raise InputError("Density ratios of the target are not a number. Compute the probe again.")
    is_out = target_log_ratio >= -math.log(epsilon)
    return Support(
        is_out=is_out,
        inside=_part(~is_out, is_right, groups),
        outside=_part(is_out, is_right, groups),
        epsilon=epsilon,
    )


def _part(rows: Tensor, is_right: Tensor | None, groups: Tensor | None) -> PartOfTarget:
    images = int(rows.sum())
    return PartOfTarget(
        images=images,
        correct=None if is_right is None else int(is_right[rows].sum()),
        units=images if groups is None else len(torch.unique(groups[rows])),
    )
