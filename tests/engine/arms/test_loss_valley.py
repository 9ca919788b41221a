"""The valley of SWAD, against the authors' rule written down on its own, for made-up losses."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.arms.loss_valley import LossValley, Segment

RULES = [(3, 6, 1.3), (3, 6, 1.2), (1, 1, 1.0), (2, 2, 1.1), (4, 2, 1.2), (5, 1, 1.3), (1, 4, 1.05),
         (2, 7, 1.5)]  # fmt: skip
SEQUENCES = 60


class Authors:
    """The rule of the code, in which a model is the number of its segment."""

    def __init__(
        self, losses: list[float], n_converge: int, n_tolerance: int, ratio: float
    ) -> None:
        self.losses, self.n_converge, self.n_tolerance = losses, n_converge, n_tolerance
        self.tolerance_ratio = ratio - 1.0
        self.converge_queue: list[int] = []
        self.smooth_queue: list[int] = []
        self.final: list[int] = []
        self.begun: int | None = None
        self.dead: int | None = None
        self.threshold = 0.0

    def lowest(self) -> float:
        return min(self.losses[each] for each in self.smooth_queue)

    def update(self, segment: int) -> None:
        if self.dead is not None:
            return
        self.converge_queue = [*self.converge_queue, segment][-self.n_converge :]
        self.smooth_queue = [*self.smooth_queue, segment][-self.n_tolerance :]
        if self.begun is None:
            if len(self.converge_queue) == self.n_converge:
                self.converge()
        elif self.smooth_queue[0] >= self.begun:
            if self.lowest() > self.threshold:
                self.dead = segment
            else:
                self.final.append(self.smooth_queue[0])

    def converge(self) -> None:
        values = [self.losses[each] for each in self.converge_queue]
        if values.index(min(values)) != 0:
            return
        self.begun = self.converge_queue[0]
        self.threshold = (sum(values) / len(values)) * (1.0 + self.tolerance_ratio)
        if self.n_tolerance < self.n_converge:
            models = range(self.n_converge - self.n_tolerance)
            self.final.extend(self.converge_queue[1 + index] for index in models)
        elif self.n_tolerance > self.n_converge:
            considered = self.smooth_queue[: self.n_tolerance - self.n_converge + 1]
            start = 0
            for index in reversed(range(len(considered))):
                if self.losses[considered[index]] > self.threshold:
                    start = index + 1
                    break
            self.final.extend(considered[start + 1 :])

    def final_model(self) -> list[int]:
        if self.begun is None:
            return [self.converge_queue[-1]]
        if self.dead is None:
            self.smooth_queue.pop(0)
            while self.smooth_queue and self.lowest() <= self.threshold:
                self.final.append(self.smooth_queue.pop(0))
        return self.final or [self.begun]  # a copy of a model counts 0 until another is averaged


def by_the_authors(
    losses: list[float], n_converge: int, n_tolerance: int, ratio: float
) -> tuple[Counter[int], int | None, int | None]:
    """Return how often each segment is in the final model, and where the valley begins and ends."""
    rule = Authors(losses, n_converge, n_tolerance, ratio)
    for segment in range(len(losses)):
        rule.update(segment)
    return Counter(rule.final_model()), rule.begun, rule.dead


def segment(loss: float, at: int, of: int) -> Segment:
    """Return a segment whose weights mark its number."""
    return Segment(loss, 10 * (at + 1), (torch.eye(of)[at], torch.tensor(float(at))))


def observed(losses: list[float], rule: tuple[int, int, float]) -> LossValley:
    valley = LossValley(*rule)
    for at, loss in enumerate(losses):
        valley.observe(segment(loss, at, len(losses)))
    return valley


def made_up(generator: random.Random) -> list[float]:
    """Return losses that fall and then rise or wander, some of them equal."""
    count, level = generator.randint(1, 30), generator.uniform(0.5, 2)
    losses, drift = [], -0.1
    turn = generator.randint(0, count)
    for at in range(count):
        drift = generator.choice([-0.02, 0.0, 0.08]) if at == turn else drift
        level = max(0.05, level + drift + generator.gauss(0, 0.05))
        losses.append(round(level, generator.choice([1, 3, 9])))
    return losses


@pytest.mark.parametrize("rule", RULES)
def test_the_average_is_the_authors_for_any_losses(rule: tuple[int, int, float]) -> None:
    generator = random.Random(str(rule))
    kinds: Counter[str] = Counter()
    for _ in range(SEQUENCES):
        losses = made_up(generator)
        counts, begun, dead = by_the_authors(losses, *rule)
        valley = observed(losses, rule)
        shares = torch.zeros(len(losses), dtype=torch.float64)
        for at, count in counts.items():
            shares[at] = count / counts.total()
        weights, number = valley.weights()
        assert torch.allclose(weights, shares, rtol=0, atol=1e-12), (losses, counts)
        mean = sum(at * count for at, count in counts.items()) / counts.total()
        assert float(number) == pytest.approx(mean, abs=1e-9)
        assert valley.has_begun is (begun is not None)
        assert valley.has_ended is (dead is not None)
        kinds["ended" if valley.has_ended else "open" if valley.has_begun else "not begun"] += 1
    assert kinds["open"] > 0, kinds
    assert rule[0] == 1 or kinds["not begun"] > 0, kinds
    assert rule[1] > 4 or kinds["ended"] > 0, kinds


@pytest.mark.parametrize("rule", RULES)
def test_a_restored_valley_is_the_one_that_was_saved(rule: tuple[int, int, float]) -> None:
    generator = random.Random(5)
    for _ in range(20):
        losses = made_up(generator)
        valley = LossValley(*rule)
        for at, loss in enumerate(losses):
            tensors = {name: each.clone() for name, each in valley.tensors().items()}
            valley = LossValley(*rule)
            valley.restore(tensors, weights=2)
            valley.observe(segment(loss, at, len(losses)))
        expected = observed(losses, rule)
        assert (valley.has_begun, valley.has_ended) == (expected.has_begun, expected.has_ended)
        assert_equal(valley.tensors(), expected.tensors())
        assert_equal(dict(enumerate(valley.weights())), dict(enumerate(expected.weights())))


def assert_equal(found: dict[Any, Tensor], expected: dict[Any, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert tensor.dtype == found[name].dtype
        assert torch.equal(tensor, found[name]), name


def test_the_result_does_not_change_what_follows() -> None:
    losses = [3.0, 1.0, 1.1, 1.2, 1.0, 1.1, 1.3, 9.0]
    valley = LossValley(3, 6, 1.3)
    for at, loss in enumerate(losses):
        valley.observe(segment(loss, at, len(losses)))
        valley.weights()
    assert torch.equal(valley.weights()[0], observed(losses, (3, 6, 1.3)).weights()[0])


def test_no_segment_is_stored_beyond_the_valley_s_memory() -> None:
    falling, ended = observed([2.0 - 0.1 * at for at in range(15)], (3, 6, 1.3)), observed(
        [1.0] * 3 + [9.0] * 9, (3, 6, 1.3))  # fmt: skip
    assert sum(name.startswith("recent.") for name in falling.tensors()) == 2 * 6
    assert ended.has_ended
    assert not any(name.startswith("recent.") for name in ended.tensors())
