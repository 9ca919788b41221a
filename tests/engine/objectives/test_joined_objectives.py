"""Objectives used together."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from engine.objectives import make_objective
from engine.protocol import resolve_spec
from tests.engine.objectives.batches import make_batch, make_task

CPU = torch.device("cpu")


def test_an_adversary_weighs_the_losses_that_groupdro_has_weighted() -> None:
    fields = {"groupdro_step_size": 0.5, "steps": 10, "warmup_steps": 0, "lr": 0.3}
    both = resolve_spec({**fields, "objective": "rpdro+groupdro"})
    objective = make_objective(both, make_task(), CPU).double()
    groupdro = make_objective(resolve_spec({**fields, "objective": "groupdro"}), make_task(), CPU)
    rpdro = make_objective(resolve_spec({**fields, "objective": "rpdro"}), make_task(), CPU)
    [group_weights], [ratios] = groupdro.double().others, rpdro.double().others
    for step in range(3):
        batch = make_batch(seed=step, step=step, dtype=torch.float64)
        losses = F.cross_entropy(
            batch.logits.transpose(1, 2), batch.labels.expand(2, -1), reduction="none"
        )
        weighted = group_weights(batch, losses.detach()) * losses
        expected = (ratios(batch, weighted.detach()) * weighted).mean()
        torch.testing.assert_close(objective(batch), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("joined", "weighting", "penalty"),
    [("rpdro+coral", "rpdro", "coral"), ("groupdro+vrex", "groupdro", "vrex")],
)
def test_a_penalty_is_added_to_the_weighted_losses(
    joined: str, weighting: str, penalty: str
) -> None:
    def loss_of(objective: str) -> torch.Tensor:
        made = make_objective(resolve_spec({"objective": objective}), make_task(), CPU).double()
        made(make_batch(seed=1, dtype=torch.float64))
        loss: torch.Tensor = made(make_batch(step=1, dtype=torch.float64))
        return loss

    added = loss_of(penalty) - loss_of("erm")
    assert added > 0
    assert loss_of(weighting) != loss_of("erm")
    torch.testing.assert_close(loss_of(joined), loss_of(weighting) + added, rtol=1e-6, atol=0)
