"""Means of weights are taken in double precision; integer buffers are the first network's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.combine.averaging import WeightMean, blend


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


@pytest.mark.parametrize(("share", "end"), [(0.0, 0), (1.0, 1)])
def test_the_ends_of_the_way_are_the_networks_themselves(share: float, end: int) -> None:
    first, second = networks(2)
    expected = (first, second)[end]["weight"]
    assert torch.equal(blend(first, second, share)["weight"], expected)


def test_on_the_way_weights_are_mixed_by_their_share() -> None:
    first, second = networks(2)
    mixed = blend(first, second, 0.3)
    expected = 0.7 * first["weight"].double() + 0.3 * second["weight"].double()
    assert torch.allclose(mixed["weight"].double(), expected, rtol=1e-6)
    assert mixed["num_batches_tracked"].item() == 7
