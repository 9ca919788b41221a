"""The straight line between the weights of two networks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.model.interpolation import blend


def weights(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "weight": torch.randn(5, 3, generator=generator) * 1e3,
        "num_batches_tracked": torch.tensor(7 + seed),
    }


@pytest.mark.parametrize(("share", "end"), [(0.0, 0), (1.0, 1)])
def test_the_ends_of_the_way_are_the_networks_themselves(share: float, end: int) -> None:
    ends = weights(0), weights(1)
    assert torch.equal(blend(*ends, share)["weight"], ends[end]["weight"])


def test_on_the_way_weights_are_mixed_by_their_share() -> None:
    first, second = weights(0), weights(1)
    mixed = blend(first, second, 0.3)
    expected = 0.7 * first["weight"].double() + 0.3 * second["weight"].double()
    assert torch.allclose(mixed["weight"].double(), expected, rtol=1e-6)
    assert mixed["num_batches_tracked"].item() == 7
