"""Variance of the sources' losses, against DomainBed's VREx."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.objectives import Batch, make_objective
from engine.protocol import resolve_spec
from tests.engine.objectives.batches import make_batch, make_task

CPU = torch.device("cpu")


def domainbed_vrex(batch: Batch, penalty_weight: float) -> Tensor:
    """Return the loss of ``VREx.update`` of DomainBed, whose masks are further images."""
    masks = len(batch.logits)
    losses = torch.stack(
        [
            F.cross_entropy(logits.flatten(0, 1), labels.repeat(masks))
            for logits, labels in zip(
                batch.logits.chunk(batch.domains, dim=1),
                batch.labels.chunk(batch.domains),
                strict=True,
            )
        ]
    )
    mean = losses.mean()
    return mean + penalty_weight * ((losses - mean) ** 2).mean()


@pytest.mark.parametrize(
    ("fields", "step", "weight"),
    [
        ({"steps": 200}, 19, 1.0),
        ({"steps": 200}, 20, 10.0),
        ({"steps": 9}, 0, 10.0),
        ({"steps": 10_001}, 499, 1.0),
        ({"steps": 10_001}, 500, 10.0),
        ({"steps": 200, "vrex_anneal_steps": 3, "vrex_weight": 1e4}, 2, 1.0),
        ({"steps": 200, "vrex_anneal_steps": 3, "vrex_weight": 1e4}, 3, 1e4),
        ({"steps": 200, "vrex_anneal_steps": 0}, 0, 10.0),
    ],
)
def test_the_variance_is_added_as_in_domainbed(
    fields: dict[str, object], step: int, weight: float
) -> None:
    objective = make_objective(resolve_spec({"objective": "vrex", **fields}), make_task(), CPU)
    batch = make_batch(step=step, dtype=torch.float64)
    loss, expected = objective(batch), domainbed_vrex(batch, weight)
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    [ours] = torch.autograd.grad(loss, batch.logits)
    [theirs] = torch.autograd.grad(expected, batch.logits)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-12)
