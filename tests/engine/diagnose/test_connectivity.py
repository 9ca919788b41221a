"""Loss and accuracy on the straight path between two networks, and its barriers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.diagnose.connectivity import (
    PathPoint,
    accuracy_barrier,
    loss_barrier,
    straight_path,
)
from engine.errors import InputError


def linear_problem() -> tuple[Tensor, Tensor, dict[str, Tensor], dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(200, 6, generator=generator)
    labels = features[:, :3].argmax(dim=1)
    first, second = (
        {"weight": torch.randn(3, 6, generator=generator), "bias": torch.zeros(3)} for _ in range(2)
    )
    return features, labels, first, second


def test_the_path_goes_from_the_first_network_to_the_second() -> None:
    features, labels, first, second = linear_problem()

    def evaluate(weights: dict[str, Tensor]) -> tuple[float, float]:
        logits = F.linear(features, weights["weight"], weights["bias"])
        accuracy = float((logits.argmax(dim=1) == labels).double().mean())
        return float(F.cross_entropy(logits, labels)), accuracy

    path = straight_path(first, second, evaluate, points=5)
    assert [point.share for point in path] == [0, 0.25, 0.5, 0.75, 1]
    for point in path:
        a, b = (each["weight"].double().numpy() for each in (first, second))
        logits = features.double().numpy() @ ((1 - point.share) * a + point.share * b).T
        own = logits[np.arange(len(labels)), labels.numpy()]
        losses = np.log(np.exp(logits).sum(axis=1)) - own
        assert point.loss == pytest.approx(losses.mean(), abs=1e-6)
        assert point.accuracy == pytest.approx((logits.argmax(axis=1) == labels.numpy()).mean())
    barrier = loss_barrier(path)
    assert barrier is not None
    assert barrier.height == 0, "the loss of a linear model is convex in its weights"


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


@pytest.mark.parametrize("second", [{"weight": torch.zeros(4, 6)}, {"other": torch.zeros(3, 6)}])
def test_networks_of_other_shapes_are_refused(second: dict[str, Tensor]) -> None:
    with pytest.raises(InputError, match="there is no path between them: .*weight"):
        straight_path({"weight": torch.zeros(3, 6)}, second, lambda _weights: (0.0, 0.0))
