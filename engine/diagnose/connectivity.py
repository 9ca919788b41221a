"""Linear connectivity: loss and accuracy on the straight line between two networks' weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from torch import Tensor

from engine.errors import InputError
from engine.model.interpolation import blend
from engine.text import listed

POINTS: Final = 11
"""Points of a path, its ends included."""


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


def straight_path(
    first: Mapping[str, Tensor],
    second: Mapping[str, Tensor],
    evaluate: Callable[[dict[str, Tensor]], tuple[float, float]],
    points: int = POINTS,
) -> tuple[PathPoint, ...]:
    """Evaluate networks at equal distances on the straight line between two sets of weights.

    BatchNorm statistics are interpolated as weights are.

    Args:
        first: weights of A, by name.
        second: weights of B, of the same names and shapes.
        evaluate: returns loss and accuracy of weights.
        points: number of networks, at least 2; the first is A, the last is B.

    Raises:
        InputError: if names or shapes differ.
    """
    if points < 2:
        raise ValueError(f"a path has at least 2 points, not {points}")
    differing = [
        name
        for name in sorted(first.keys() | second.keys())
        if name not in first or name not in second or first[name].shape != second[name].shape
    ]
    if differing:
        raise InputError(
            "The weights of the two networks do not match, so there is no path between them: "
            f"{listed(differing, 3)}. Compare runs of the same configuration."
        )
    shares = [number / (points - 1) for number in range(points)]
    return tuple(PathPoint(share, *evaluate(blend(first, second, share))) for share in shares)


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
