"""Which part of the target's features lies in directions that the sources' features lack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from torch import Tensor

from engine.diagnose.inputs import check_features, float64_chunks
from engine.diagnose.spectrum import Spectrum
from engine.errors import InputError

KEPT_ENERGY: Final = 0.99
"""Share of the source energy in the principal directions."""


@dataclass(frozen=True)
class OutsideSpan:
    """Share of the energy of features that lies outside a span of the sources' features.

    Energy is the sum of squares of features that are not centred.

    Attributes:
        share: outside the span of all directions of the sources up to their numerical rank (see
            :func:`engine.diagnose.spectrum.numerical_rank`), 0 to 1.
        rank: number of these directions.
        principal_share: outside the fewest leading directions with :data:`KEPT_ENERGY` of the
            source energy, 0 to 1.
        principal_rank: number of these.
        is_limited_by_images: there are fewer source images than dimensions, so that even images
            like the sources' have energy outside.
    """

    share: float
    rank: int
    principal_share: float
    principal_rank: int
    is_limited_by_images: bool


def outside_span(source: Spectrum, features: Tensor) -> OutsideSpan | None:
    """Return the share of energy outside the span of the sources' features.

    With more source images than dimensions the sources often span every direction; the principal
    directions then distinguish images. Compare the target with source images that are not in
    ``source``, such as the validation images.

    Args:
        source: of the sources' features, with directions.
        features: (N, D) float32, of the target or of other images.

    Returns:
        None if the features or the sources' features are all zero.

    Raises:
        InputError: if there is no image, a feature is NaN or infinite, or the dimensions differ.
    """
    check_features(features)
    if source.directions is None:
        raise ValueError("the sources' directions are missing")
    if features.shape[1] != source.dimensions:
        raise InputError(
            f"The features have {features.shape[1]:,} dimensions and those of the sources "
            f"{source.dimensions:,}. Compare features of one network."
        )
    energies = source.values.square()
    if energies[0] == 0:
        return None
    rank = source.rank
    kept = (energies.cumsum(0) < KEPT_ENERGY * energies.sum()).sum()
    principal = min(int(kept) + 1, rank)
    total = inside = principal_inside = 0.0
    for rows in float64_chunks(features):
        along = (rows @ source.directions[:, :rank]).square().sum(dim=0)
        total += float(rows.square().sum())
        inside += float(along.sum())
        principal_inside += float(along[:principal].sum())
    if total == 0:
        return None
    return OutsideSpan(
        _outside(inside, total), rank, _outside(principal_inside, total), principal,
        source.is_limited_by_images,
    )  # fmt: skip


def _outside(inside: float, total: float) -> float:
    return min(1.0, max(0.0, 1 - inside / total))
