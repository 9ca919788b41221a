"""Linear connectivity: barriers on the straight line between two networks' weights.

:mod:`engine.combine.interpolation` evaluates the networks on the line.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class PathPoint(NamedTuple):
    """The network (1 − share) A + share B.

    ``loss`` is in nats, ``accuracy`` from 0 to 1; both are means over the images.
    """

    share: float
    loss: float
    accuracy: float


class Barrier(NamedTuple):
    """The largest deviation from the line between the ends, at least 0, and where it is.

    ``height`` of a loss is in nats, that of an accuracy from 0 to 1.
    """

    height: float
    share: float


def loss_barrier(path: Sequence[PathPoint]) -> Barrier | None:
    """Return how far the loss rises above the line between the losses of the ends.

    max over α of L(α) − (1 − α) L(0) − α L(1): Entezari et al., "The Role of Permutation Invariance
    in Linear Mode Connectivity of Neural Networks", ICLR 2022, definition 1.

    Returns:
        None if a loss on the path is not finite.
    """
    return _barrier([(point.share, point.loss) for point in path])


def accuracy_barrier(path: Sequence[PathPoint]) -> Barrier | None:
    """Return how far the accuracy falls below the line between the accuracies of the ends."""
    return _barrier([(point.share, -point.accuracy) for point in path])


def _barrier(path: Sequence[tuple[float, float]]) -> Barrier | None:
    """Return the largest rise above the line between the ends; None if a value is not finite."""
    if not all(math.isfinite(value) for _, value in path):
        return None
    start, end = path[0][1], path[-1][1]
    rises = [(value - (1 - share) * start - share * end, share) for share, value in path]
    height, share = max(rises, key=lambda rise: rise[0])
    return Barrier(max(0.0, height), share)
