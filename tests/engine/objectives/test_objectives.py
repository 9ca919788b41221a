"""Losses, against their definitions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.objectives import Batch, Objective, make_objective
from engine.protocol import OBJECTIVES, Evaluated, RunSpec
from tests.small_runs import MakeRun, read_events, run_here

CPU = torch.device("cpu")


def _batch(domains: int = 3, each: int = 4, masks: int = 2) -> Batch:
    torch.manual_seed(0)
    logits = torch.randn(masks, domains * each, 5, requires_grad=True)
    return Batch(logits, torch.randn(domains * each, 7), torch.arange(domains * each) % 5, domains)


def _of_domain(batch: Batch, domain: int) -> Tensor:
    each = len(batch.labels) // batch.domains
    rows = slice(domain * each, (domain + 1) * each)
    labels = batch.labels[rows].repeat(len(batch.logits))
    return F.cross_entropy(batch.logits[:, rows].flatten(0, 1), labels)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_that_is_named_can_be_made_and_trains(name: str) -> None:
    objective = make_objective(RunSpec(objective=name), 3, CPU)
    batch = _batch()
    loss = objective(batch)
    assert isinstance(objective, Objective)
    assert loss.shape == ()
    (gradient,) = torch.autograd.grad(loss, batch.logits)
    assert float(gradient.abs().sum()) > 0


def test_erm_is_the_mean_over_images_and_masks() -> None:
    batch = _batch()
    expected = torch.stack([_of_domain(batch, domain) for domain in range(3)]).mean()
    assert torch.allclose(make_objective(RunSpec(objective="erm"), 3, CPU)(batch), expected)


@pytest.mark.parametrize("step_size", [0.01, 0.5])
def test_groupdro_weighs_the_worst_source_most_as_the_algorithm_says(step_size: float) -> None:
    spec = RunSpec(objective="groupdro", groupdro_step_size=step_size)
    objective, batch = make_objective(spec, 3, CPU), _batch()
    losses = torch.stack([_of_domain(batch, domain) for domain in range(3)]).detach()
    weights = torch.full((3,), 1 / 3)
    for _ in range(2):
        loss = objective(batch)
        weights = weights * (step_size * losses).exp()
        weights = weights / weights.sum()
        assert torch.allclose(objective.state_dict()["weights"], weights)
        assert torch.allclose(loss, weights @ losses)
    assert int(weights.argmax()) == int(losses.argmax())


def test_groupdro_weighs_in_full_precision_under_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = make_objective(RunSpec(objective="groupdro"), 3, CPU)(_batch())
    assert loss.dtype == torch.float32


def test_looking_does_not_move_the_weights() -> None:
    objective, batch = make_objective(RunSpec(objective="groupdro"), 3, CPU), _batch()
    with torch.no_grad():
        objective(batch)
    assert objective.state_dict()["weights"].tolist() == pytest.approx([1 / 3] * 3)


def test_a_run_with_another_objective_is_another_run(make_run: MakeRun) -> None:
    erm, robust = make_run("erm"), make_run("robust", objective="groupdro")
    run_here(erm)
    run_here(robust)
    first, second = (
        [each.metrics for each in read_events(run_dir) if isinstance(each, Evaluated)]
        for run_dir in (erm, robust)
    )
    assert first[0] == second[0]  # the last layer was trained alike
    assert first[-1] != second[-1]
