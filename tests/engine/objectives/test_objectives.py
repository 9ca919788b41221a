"""Losses, against their definitions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.data import load_data
from engine.objectives import Batch, Objective, Task, make_objective
from engine.protocol import OBJECTIVES, Evaluated, SpecError, resolve_spec
from engine.train.loop import take_step
from engine.train.setup import prepare
from tests.engine.objectives.batches import make_batch, make_task
from tests.small_runs import MakeRun, read_events, run_here

CPU = torch.device("cpu")


def objective_of(**fields: object) -> Objective:
    """Return the objective of a run on three sources."""
    return make_objective(resolve_spec(fields), make_task(), CPU)


def _of_domain(batch: Batch, domain: int) -> Tensor:
    each = len(batch.labels) // batch.domains
    rows = slice(domain * each, (domain + 1) * each)
    labels = batch.labels[rows].repeat(len(batch.logits))
    return F.cross_entropy(batch.logits[:, rows].flatten(0, 1), labels)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_that_is_named_can_be_made_and_trains(name: str) -> None:
    needed = dict.fromkeys(OBJECTIVES[name].needs, "needed")
    objective = objective_of(objective=name, **needed)
    batch = make_batch()
    loss = objective(batch)
    assert isinstance(objective, Objective)
    assert loss.shape == ()
    (gradient,) = torch.autograd.grad(loss, batch.logits)
    assert float(gradient.abs().sum()) > 0


def test_erm_is_the_mean_over_images_and_masks() -> None:
    batch = make_batch()
    expected = torch.stack([_of_domain(batch, domain) for domain in range(3)]).mean()
    assert torch.allclose(objective_of()(batch), expected)


@pytest.mark.parametrize("step_size", [0.01, 0.5])
def test_groupdro_weighs_the_worst_source_most_as_the_algorithm_says(step_size: float) -> None:
    objective = objective_of(objective="groupdro", groupdro_step_size=step_size)
    batch = make_batch()
    losses = torch.stack([_of_domain(batch, domain) for domain in range(3)]).detach()
    weights = torch.full((3,), 1 / 3)
    for _ in range(2):
        loss = objective(batch)
        weights = weights * (step_size * losses).exp()
        weights = weights / weights.sum()
        assert torch.allclose(objective.state_dict()["groupdro.weights"], weights)
        assert torch.allclose(loss, weights @ losses)
    assert int(weights.argmax()) == int(losses.argmax())


def test_groupdro_of_the_largest_steps_trains_on_the_worst_source_alone() -> None:
    objective, batch = objective_of(objective="groupdro", groupdro_step_size=1000.0), make_batch()
    losses = torch.stack([_of_domain(batch, domain) for domain in range(3)])
    for _ in range(3):
        assert torch.allclose(objective(batch), losses.max())


def test_groupdro_weighs_in_full_precision_under_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = objective_of(objective="groupdro")(make_batch())
    assert loss.dtype == torch.float32


def test_looking_does_not_move_the_weights() -> None:
    objective, batch = objective_of(objective="groupdro"), make_batch()
    with torch.no_grad():
        objective(batch)
    assert objective.state_dict()["groupdro.weights"].tolist() == pytest.approx([1 / 3] * 3)


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


def test_joined_objectives_are_equal_whatever_their_order() -> None:
    assert resolve_spec({"objective": "groupdro+erm"}).objective == "groupdro"
    assert resolve_spec({"objective": "vrex + groupdro"}).objective == "groupdro+vrex"


@pytest.mark.parametrize("text", ["groupdro+", "+", "groupdro,erm", "groupdro+grupdro"])
def test_names_of_no_objective_are_refused(text: str) -> None:
    known = rf"must be one of {', '.join(OBJECTIVES)}, or several joined by \+"
    with pytest.raises(SpecError, match=known):
        resolve_spec({"objective": text})


def test_state_of_an_earlier_version_is_restored() -> None:
    objective = objective_of(objective="groupdro")
    objective.restore({"weights": torch.tensor([0.5, 0.25, 0.25])})
    assert objective.state_dict()["groupdro.weights"].tolist() == [0.5, 0.25, 0.25]


def test_an_objective_sees_which_images_a_batch_has(make_run: MakeRun) -> None:
    """The rows of a batch have the labels of the batch; the step is counted."""
    run_dir = make_run("rows")
    spec = run_dir.read_spec()
    data = load_data(spec, run_dir.cache)
    training = prepare(spec, data, run_dir, None)
    seen: list[Batch] = []
    training.objective.register_forward_pre_hook(lambda _module, given: seen.extend(given))
    take_step(spec, training, 5)
    [batch] = seen
    assert batch.step == 5
    labels = torch.zeros(len(data.image_set), dtype=torch.long)
    for domain in data.domains:
        labels[domain.rows] = domain.labels
    assert torch.equal(labels[batch.rows], batch.labels)
    task = Task.of(data, training.network.feature_dim)
    rows = batch.rows.unflatten(0, (batch.domains, -1))
    for known, drawn in zip(task.rows, rows, strict=True):
        assert torch.isin(drawn, known).all()
