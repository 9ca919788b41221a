"""Which artificial images are near to real ones, in the features of a pre-trained network.

After Alrashedy et al., "Learning Defect Prediction from Unrealistic Data" (2023):
they train on the artificial samples whose representations are nearest to those of real samples.
Here the distance is the cosine distance to the nearest real image of the same class, and the share
that is kept is a setting, the same for every class.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import torch
from torch import Tensor

from engine.errors import InputError
from engine.text import counted

ROWS: Final = 1024
"""Rows that are compared at a time."""
EQUAL_WITHIN: Final = 1e-9
"""Distances that differ by less are equal: features are float32."""


class Distances(NamedTuple):
    """The distance (N,) float64 of each image to the nearest one, and the row (N,) of that one.

    Those to several nearest ones are (N, k).
    """

    values: Tensor
    rows: Tensor


def nearest_of_class(
    features: Tensor, labels: Tensor, real: Tensor, real_labels: Tensor
) -> Distances:
    """Return the distance of each image to the nearest real image of its class.

    The cosine distance 1 − x·y / (‖x‖‖y‖) is from 0 to 2 and computed in float64. Of several
    equally near images, the first counts.

    Args:
        features: of the artificial images, (N, D) float32.
        labels: their classes, (N,) int64.
        real: features of the real images, (M, D) float32.
        real_labels: their classes, (M,) int64.

    Raises:
        ValueError: if a class has no real image.
        InputError: if features are not finite, or an image's are all zero.
    """
    check_directions(features)
    check_directions(real)
    distances = torch.empty(len(features), dtype=torch.float64)
    rows = torch.empty(len(features), dtype=torch.int64)
    for label in labels.unique().tolist():
        own = (labels == label).nonzero()[:, 0]
        known = (real_labels == label).nonzero()[:, 0]
        if len(known) == 0:
            raise ValueError(f"no real image has the label {label}")
        others = _directions(real[known]).T
        for part in own.split(ROWS):
            found = (_directions(features[part]) @ others).max(dim=1)
            distances[part] = (1 - found.values).clamp(0, 2)
            rows[part] = known[found.indices]
    return Distances(distances, rows)


def nearest_rows(features: Tensor, others: Tensor, count: int) -> Distances:
    """Return the distances (N, k) to the k ≤ ``count`` nearest other images, and their rows (N, k).

    It is the cosine distance of :func:`nearest_of_class`; the nearest image comes first.

    Args:
        features: of the images, (N, D) float32.
        others: features of the other images, (M, D) float32.
        count: at least 1.

    Raises:
        InputError: if features are not finite, or an image's are all zero.
    """
    check_directions(features)
    check_directions(others)
    unit = _directions(features)
    similar = torch.empty(len(features), 0, dtype=torch.float64)
    rows = torch.empty(len(features), 0, dtype=torch.int64)
    for start in range(0, len(others), ROWS):
        part = unit @ _directions(others[start : start + ROWS]).T
        places = torch.arange(start, start + part.shape[1]).expand_as(part)
        similar, rows = torch.cat([similar, part], dim=1), torch.cat([rows, places], dim=1)
        similar, kept = similar.topk(min(count, similar.shape[1]), dim=1)
        rows = rows.gather(1, kept)
    return Distances((1 - similar).clamp(0, 2), rows)


def keep_nearest(distances: Tensor, groups: Tensor, share: float) -> Tensor:
    """Return which images to keep, (N,) bool: of each group, the nearest ⌈share · n⌉.

    Of equally near images, the first are kept.

    Args:
        distances: (N,) float64.
        groups: group of each image, (N,) int64.
        share: above 0, at most 1.

    Raises:
        ValueError: if the share is out of range.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}, but must be above 0 and at most 1")
    kept = torch.zeros(len(distances), dtype=torch.bool)
    for group in groups.unique().tolist():
        own = (groups == group).nonzero()[:, 0]
        count = math.ceil(round(share * len(own), 9))  # 0.07 · 100 is above 7 in binary
        kept[own[distances[own].argsort(stable=True)[:count]]] = True
    return kept


def bins_of(values: Tensor, bins: int) -> tuple[list[float], Tensor]:
    """Return the edges of bins of equal width from the smallest to the largest value, and the bin
    (N,) int64 of each value; one bin if all are equal.

    A value on an edge is in the bin that starts there; the largest is in the last bin.
    """
    first, last = float(values.min()), float(values.max())
    if last - first < EQUAL_WITHIN:
        return [first, last], torch.zeros(len(values), dtype=torch.int64)
    edges = torch.linspace(first, last, bins + 1, dtype=torch.float64)
    return edges.tolist(), torch.bucketize(values, edges[1:-1], right=True)


def check_directions(features: Tensor) -> None:
    """Check that cosine distances of features (N, D) are defined.

    Raises:
        InputError: if features of an image are not finite, or all zero.
    """
    norms = torch.linalg.vector_norm(features, dim=1, dtype=torch.float64)
    broken = int((~norms.isfinite() | (norms == 0)).sum())
    if broken:
        raise InputError(
            f"The features of {broken:,} of {counted(len(features), 'image')} are zero, NaN or "
            "infinite, so they have no cosine distance. Use another network."
        )


def _directions(features: Tensor) -> Tensor:
    """Return features divided by their norm, (N, D) float64."""
    return torch.nn.functional.normalize(features.double(), dim=1, eps=0)
