"""Means of weights in double precision, and what a greedy soup compares a candidate with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from engine.combine.averaging import WeightMean, combine_greedily
from engine.combine.bench import Bench, Validation
from engine.protocol import ParentTried

WEIGHT = {"best": 0.0, "better with it": 1.0, "worse than both": 4.0}
ACCURACY = {0.0: 0.6, 1.0: 0.5, 4.0: 0.4, 0.5: 0.8, (0.0 + 1.0 + 4.0) / 3: 0.7}
"""Of parents and of means of them."""


def networks(count: int) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        {
            "weight": torch.randn(5, 3, generator=generator) * 1e3,
            "half": torch.randn(4, generator=generator).half(),
            "num_batches_tracked": torch.tensor(7 + index),
        }
        for index in range(count)
    ]


def test_the_mean_is_that_of_double_precision() -> None:
    given = networks(72)
    mean = WeightMean(given[0])
    for weights in given[1:]:
        mean.add(weights)
    found = mean.weights()
    expected = torch.stack([weights["weight"].double() for weights in given]).mean(dim=0)
    assert torch.equal(found["weight"], expected.float())
    assert found["half"].dtype == torch.float16
    assert found["num_batches_tracked"].item() == 7


def test_one_more_is_tried_without_taking_it_in() -> None:
    first, second = networks(2)
    mean = WeightMean(first)
    tried = mean.with_one_more(second)
    assert torch.equal(mean.weights()["weight"], first["weight"])
    mean.add(second)
    assert torch.equal(mean.weights()["weight"], tried["weight"])


@dataclass
class TableOfAccuracies:
    """A bench on which every network has one weight, whose accuracy is known."""

    log: Any = field(init=False)
    events: list[object] = field(default_factory=list)
    weight_of: Mapping[str, float] = field(default_factory=lambda: WEIGHT)
    accuracy_of: Mapping[float, float] = field(default_factory=lambda: ACCURACY)
    selects_on_opposite: bool = False
    parents: tuple[Any, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.log = SimpleNamespace(record=self.events.append)
        self.parents = tuple(
            SimpleNamespace(run_id=name, weights=lambda value=value: {"w": torch.tensor([value])})
            for name, value in self.weight_of.items()
        )

    def validate(self, weights: Mapping[str, Tensor]) -> Validation:
        value = float(weights["w"])
        known = min(self.accuracy_of, key=lambda each: abs(each - value))
        accuracy = self.accuracy_of[known]
        return Validation(accuracy, 1.0, 1 - accuracy if self.selects_on_opposite else None)


def test_a_candidate_is_held_against_the_soup_so_far_and_not_its_best_parent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served: list[float] = []
    monkeypatch.setattr(
        "engine.combine.averaging.evaluate_and_save",
        lambda _bench, weights: served.append(float(weights["w"])),
    )
    bench = TableOfAccuracies()
    combine_greedily(cast("Bench", bench))
    tried = {
        e.parent: (e.soup_accuracy, e.is_kept) for e in bench.events if isinstance(e, ParentTried)
    }
    assert tried == {"better with it": (0.8, True), "worse than both": (0.7, False)}
    assert served == [0.5]


def test_another_measure_ranks_the_parents_and_decides_on_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("engine.combine.averaging.evaluate_and_save", lambda *_: None)
    weights = {"accurate": 8.0, "first": 0.0, "second": 1.0}
    accuracies = {0.0: 0.1, 1.0: 0.2, 0.5: 0.1, 8.0: 0.9, 3.0: 0.8}
    bench = TableOfAccuracies(weight_of=weights, accuracy_of=accuracies, selects_on_opposite=True)
    combine_greedily(cast("Bench", bench))
    tried = [e for e in bench.events if isinstance(e, ParentTried)]
    assert [(e.parent, e.is_kept) for e in tried] == [("second", True), ("accurate", False)]
    assert [e.soup_accuracy for e in tried] == [0.1, 0.8]
    assert [e.selection_score for e in tried] == pytest.approx([0.9, 0.2])


def test_parents_of_equal_accuracy_are_tried_in_the_order_given_and_a_tie_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served: list[float] = []
    monkeypatch.setattr(
        "engine.combine.averaging.evaluate_and_save",
        lambda _bench, weights: served.append(float(weights["w"])),
    )
    weights = {"worse": 8.0, "first": 0.0, "second": 1.0, "third": 2.0}
    accuracies = {0.0: 0.6, 1.0: 0.6, 2.0: 0.6, 0.5: 0.6, 8.0: 0.1, 11 / 4: 0.1}
    bench = TableOfAccuracies(weight_of=weights, accuracy_of=accuracies)
    combine_greedily(cast("Bench", bench))
    tried = [(e.parent, e.is_kept) for e in bench.events if isinstance(e, ParentTried)]
    assert tried == [("second", True), ("third", True), ("worse", False)]
    assert served == [1.0]
