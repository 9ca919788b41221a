"""Confidence regularisation, against its equation."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from engine.objectives import Objective, Task, Teaching, make_objective
from engine.objectives.confreg import scaled
from engine.protocol import SpecError, resolve_new_spec, resolve_spec
from tests.engine.objectives.batches import CLASSES, make_batch, make_task

CPU = torch.device("cpu")


def confreg(task: Task, **fields: object) -> Objective:
    return make_objective(
        resolve_spec({"objective": "confreg", "teacher": "t", **fields}), task, CPU
    )


def with_bias(bias: Tensor) -> Task:
    task = make_task()
    assert task.teaching is not None
    return dataclasses.replace(task, teaching=Teaching(task.teaching.log_probabilities, bias))


def test_the_loss_and_its_gradients_are_those_of_the_equation() -> None:
    """s_j = t_j^(1−β) / Σ_k t_k^(1−β), and −Σ_j s_j log p_j: Utama et al., section 3."""
    task, batch = make_task(), make_batch(dtype=torch.float64)
    task = dataclasses.replace(task, rows=tuple(rows.flip(0) for rows in task.rows))  # not 0, 1, …
    assert task.teaching is not None
    rows = torch.cat(task.rows)
    losses = []
    for mask in batch.logits:
        for row, logits in zip(batch.rows.tolist(), mask, strict=True):
            at = rows.tolist().index(row)
            t = task.teaching.log_probabilities[at].double().exp()
            power = t ** (1 - task.teaching.bias[at].double())
            s = power / power.sum()
            p = logits.exp() / logits.exp().sum()
            losses.append(-(s * p.log()).sum())
    expected = torch.stack(losses).mean()
    loss = confreg(task).double()(batch)
    assert torch.allclose(loss, expected, rtol=0, atol=1e-6)
    (gradient,) = torch.autograd.grad(loss, batch.logits, retain_graph=True)
    (expected_gradient,) = torch.autograd.grad(expected, batch.logits)
    assert torch.allclose(gradient, expected_gradient, rtol=0, atol=1e-6)


def test_a_biased_model_that_is_certain_makes_targets_uniform_and_an_ignorant_one_leaves_them() -> (
    None
):
    logits = torch.tensor([[0.0, 1.0, -200.0], [3.0, 0.0, 0.0]])
    t = logits.log_softmax(dim=1)
    assert torch.allclose(scaled(t, torch.zeros(2)), t.exp())
    assert torch.equal(scaled(t, torch.ones(2)), torch.full((2, 3), 1 / 3))
    half = scaled(t, torch.tensor([0.5, 0.5]))[1]
    assert torch.allclose(half, t[1].exp().sqrt() / t[1].exp().sqrt().sum())


def test_a_target_belongs_to_its_image() -> None:
    """Images whose bias is 1 have a uniform target, wherever they are in a batch."""
    task, batch = make_task(), make_batch()
    bias = torch.zeros(task.images)
    bias[torch.cat(task.rows) == batch.rows[5]] = 1.0
    losses = confreg(with_bias(bias)).loss(batch)
    uniform = -batch.logits.log_softmax(dim=2).mean(dim=2)
    is_uniform = torch.isclose(losses, uniform).all(dim=0)
    assert is_uniform.nonzero().flatten().tolist() == [5]


def test_targets_are_part_of_checkpoints_and_need_no_teacher_then() -> None:
    objective = confreg(make_task())
    state = objective.state_dict()
    assert state["loss.targets"].shape == (60, CLASSES)
    resumed = confreg(dataclasses.replace(make_task(), teaching=None))
    resumed.restore(state)
    batch = make_batch()
    assert torch.equal(resumed(batch), objective(batch))
    assert objective.changing_buffers() == []


def test_it_is_joined_with_weights_but_with_no_other_loss() -> None:
    task, batch = make_task(), make_batch()
    joined = confreg(task, objective="groupdro+confreg")
    assert joined.changing_buffers() == [joined.get_buffer("groupdro.weights")]
    weights = 3 * joined.get_buffer("groupdro.weights").clone()
    losses = confreg(task).loss(batch).detach()
    raised = weights / 3 * (0.01 * losses.view(2, 3, -1).mean(dim=(0, 2))).exp()
    expected = losses.view(2, 3, -1).mean(dim=(0, 2)) @ (raised / raised.sum())
    assert torch.allclose(joined(batch), expected, rtol=0, atol=1e-6)


def test_it_weighs_in_full_precision_under_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = confreg(make_task())(make_batch())
    assert loss.dtype == torch.float32


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"objective": "confreg"},
         "objective is 'confreg', but teacher is none. Give --teacher RUN, or another --objective"),
        ({"objective": "groupdro", "teacher": "one"},
         "teacher is 'one', but objective is 'groupdro'. Give --objective confreg, or drop"),
    ],
)  # fmt: skip
def test_it_has_a_teacher_and_no_other_objective_has(
    fields: dict[str, object], problem: str
) -> None:
    with pytest.raises(SpecError, match=f"^{problem}"):
        resolve_new_spec(fields)
