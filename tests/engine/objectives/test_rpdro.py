"""The adversary that weights images, against the paper's game with a linear layer of torch's."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.objectives import Batch, Objective, make_objective
from engine.protocol import learning_rate_factor, resolve_spec
from tests.engine.objectives.batches import CLASSES, FEATURES, make_batch, make_task

CPU = torch.device("cpu")
MOMENTUM = 0.8
COURSE = {"steps": 10, "warmup_steps": 4, "lr": 0.05, "schedule": "cosine"}


class Game:
    """``pdro_main.py`` of P-DRO with ``--ratio-model --renorm-ratios --adv-obj fwd_kl``, for a
    linear adversary."""

    def __init__(self, tau: float, optimizer: str) -> None:
        self.tau = tau
        self.adversary = nn.Linear(FEATURES, CLASSES, dtype=torch.float64)
        for parameter in self.adversary.parameters():
            nn.init.zeros_(parameter)
        parameters = self.adversary.parameters()
        self.optimizer: torch.optim.Optimizer = (
            torch.optim.SGD(parameters, momentum=MOMENTUM)
            if optimizer == "sgd"
            else torch.optim.AdamW(parameters, betas=(MOMENTUM, 0.999), weight_decay=0)
        )

    def play(self, batch: Batch, lr: float) -> Tensor:
        """Return the model's loss, and take a step of the adversary."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        masks, count = batch.logits.shape[:2]
        nlls = F.cross_entropy(
            batch.logits.transpose(1, 2), batch.labels.expand(masks, -1), reduction="none"
        ).mean(0)
        features = batch.features.detach()
        norms = torch.linalg.vector_norm(features, dim=1)
        scores = self.adversary(features / torch.sqrt(torch.mean(norms**2)))
        log_q = -F.nll_loss(scores, batch.labels, reduction="none")
        log_weights = torch.log_softmax(log_q, dim=0) + math.log(count)
        weights = torch.exp(log_weights)
        model_loss = (weights.detach() * nlls).mean()
        adversary_loss = (-weights * nlls.detach()).mean()
        adversary_loss = adversary_loss + self.tau * (weights * log_weights).mean()
        self.optimizer.zero_grad()
        adversary_loss.backward()
        self.optimizer.step()
        return model_loss


def objective_of(**fields: object) -> Objective:
    return make_objective(resolve_spec({**COURSE, **fields}), make_task(), CPU).double()


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("tau", [0.01, 0.8, 0.0])
def test_three_steps_are_those_of_the_papers_game(tau: float, optimizer: str) -> None:
    fields = {"rpdro_kl_weight": tau, "optimizer": optimizer, "momentum": MOMENTUM}
    spec = resolve_spec({**COURSE, "objective": "rpdro", **fields})
    objective = make_objective(spec, make_task(), CPU).double()
    game = Game(tau, optimizer)
    for step in range(3):
        batch = make_batch(seed=step, step=step, dtype=torch.float64)
        expected = game.play(batch, spec.lr * learning_rate_factor(spec, step))
        loss = objective(batch)
        torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
        [ours] = torch.autograd.grad(loss, batch.logits)
        [theirs] = torch.autograd.grad(expected, batch.logits)
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-12)
    found = objective.state_dict()["rpdro.adversary"]
    weight, bias = (each.detach() for each in game.adversary.parameters())
    torch.testing.assert_close(found[:, :-1], weight, rtol=1e-6, atol=1e-12)
    torch.testing.assert_close(found[:, -1], bias, rtol=1e-6, atol=1e-12)
    assert float(bias[batch.labels].abs().min()) > 0


def test_the_scale_of_features_changes_nothing() -> None:
    found = []
    for scale in (1e-3, 1.0, 1e3):
        objective = objective_of(objective="rpdro")
        for step in range(3):
            batch = make_batch(seed=step, step=step, dtype=torch.float64)
            scaled = dataclasses.replace(batch, features=scale * batch.features)
            loss = objective(scaled).detach()
        found.append(float(loss))
    assert found == pytest.approx([found[0]] * 3, rel=1e-9)


def test_features_of_zero_leave_finite_weights() -> None:
    objective, batch = objective_of(objective="rpdro"), make_batch(dtype=torch.float64)
    silent = dataclasses.replace(batch, features=batch.features * 0)
    for _ in range(2):
        assert objective(silent).isfinite()


def test_the_adversary_raises_the_loss_until_the_divergence_stops_it() -> None:
    """It has learned to weigh the images of high losses."""
    batch = make_batch(dtype=torch.float64)
    losses = F.cross_entropy(
        batch.logits.transpose(1, 2), batch.labels.expand(len(batch.logits), -1), reduction="none"
    ).mean(dim=0)
    weighted = []
    for tau in (0.01, 5.0):
        objective = objective_of(
            objective="rpdro", rpdro_kl_weight=tau, schedule="constant", warmup_steps=0
        )
        for _ in range(200):
            loss = objective(batch)
        weighted.append(loss.detach())
    assert losses.mean() < weighted[1] < weighted[0] <= losses.max()


def test_without_gradients_the_adversary_does_not_learn() -> None:
    objective, batch = objective_of(objective="rpdro"), make_batch(dtype=torch.float64)
    with torch.no_grad():
        objective(batch)
    assert not objective.state_dict()["rpdro.adversary"].any()
