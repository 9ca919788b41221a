"""Barriers on the straight path between two networks."""

from __future__ import annotations

import numpy as np
import pytest

from engine.combine.connectivity import PathPoint, accuracy_barrier, loss_barrier


def test_the_barrier_is_the_largest_rise_above_the_line_between_the_ends() -> None:
    path = [
        PathPoint(0.0, 1.0, 0.8), PathPoint(0.25, 1.5, 0.5), PathPoint(0.5, 2.2, 0.55),
        PathPoint(1.0, 3.0, 0.6),
    ]  # fmt: skip
    loss, accuracy = loss_barrier(path), accuracy_barrier(path)
    assert loss == pytest.approx((2.2 - 2.0, 0.5))
    assert accuracy == pytest.approx((0.75 - 0.5, 0.25))


def test_a_loss_that_is_not_finite_has_no_barrier() -> None:
    path = [PathPoint(0, 1.0, 0.8), PathPoint(0.5, float("nan"), 0.1), PathPoint(1, 1.0, 0.8)]
    assert loss_barrier(path) is None
    assert accuracy_barrier(path) is not None


def test_a_convex_loss_has_no_barrier() -> None:
    path = [PathPoint(share, (share - 0.3) ** 2, 0.5) for share in np.linspace(0, 1, 11).tolist()]
    for found in (loss_barrier(path), accuracy_barrier(path)):
        assert found is not None
        assert found.height == pytest.approx(0, abs=1e-12)


def test_it_agrees_with_the_line_in_float64() -> None:
    noise = np.random.default_rng(0)
    shares, losses = np.linspace(0, 1, 11), noise.uniform(1, 3, 11)
    rises = losses - np.interp(shares, [0, 1], losses[[0, -1]])
    found = loss_barrier([PathPoint(*each, 0.5) for each in zip(shares, losses, strict=True)])
    assert found == pytest.approx((rises.max(), shares[rises.argmax()]), abs=1e-12)
