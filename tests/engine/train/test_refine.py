"""The last layer refined at the end of a run: on which images, of which network, and resumed."""

from __future__ import annotations

import math
from typing import TypeVar

import pytest
import torch
from safetensors.torch import load_file

from engine.data import load_data
from engine.errors import InputError
from engine.model import build_network
from engine.protocol import (
    ArmEvaluated,
    CheckpointSaved,
    Evaluated,
    HeadRefined,
    RunFinished,
    RunStopped,
    StepsTaken,
)
from engine.rundir import RunDir
from engine.train.last_layer import TrainingFeatures
from engine.train.refine import Subset, images_to_refine_on, rare_classes
from engine.train.setup import prepare
from tests.small_runs import MakeRun, read_events, run_here, stop_here

REFINED: dict[str, object] = {
    "arms": ["refined"],
    "refine_steps": 5,
    "steps": 6,
    "warmup_steps": 0,
    "eval_every": 3,
    "head_steps": 0,
}


T = TypeVar("T")


def of_type(run_dir: RunDir, kind: type[T]) -> list[T]:
    return [event for event in read_events(run_dir) if isinstance(event, kind)]


def test_classes_below_half_of_the_mean_of_those_with_images_are_rare() -> None:
    labels = torch.tensor([0] * 10 + [1] * 9 + [3] * 3 + [4] * 2)  # class 2 has none; mean 6
    assert rare_classes([labels]).tolist() == [4]
    parts = [labels[::2], labels[1::2]]
    assert rare_classes(parts).tolist() == [4]
    assert rare_classes([torch.tensor([0, 1, 2])]).tolist() == []


def test_hard_images_are_the_quarter_of_each_source_with_the_highest_loss() -> None:
    network = build_network("test_resnet", classes=3, weights="none", image_size=32, seed=0)
    random = torch.Generator().manual_seed(0)
    domains = [
        (torch.randn(n, network.feature_dim, generator=random), torch.arange(n) % 3) for n in (9, 4)
    ]
    found = images_to_refine_on("hard", network, domains)
    for (features, labels), chosen in zip(domains, found, strict=True):
        weight, bias = network.head.weight.detach().double(), network.head.bias.detach().double()
        logits = features.double() @ weight.T + bias
        losses = logits.logsumexp(dim=1) - logits[torch.arange(len(labels)), labels]
        worst = sorted(range(len(labels)), key=lambda at: -float(losses[at]))
        assert chosen.tolist() == sorted(worst[: math.ceil(len(labels) / 4)])


def test_a_subset_has_the_features_of_its_images_only() -> None:
    domains = [
        (torch.arange(4.0)[:, None], torch.tensor([0, 1, 0, 1])),
        (10 + torch.arange(2.0)[:, None], torch.tensor([0, 0])),
        (20 + torch.arange(3.0)[:, None], torch.tensor([1, 0, 1])),
    ]
    rare = images_to_refine_on(
        "rare",
        build_network("test_resnet", classes=2, weights="none", image_size=32, seed=0),
        [*domains, (30 + torch.arange(20.0)[:, None], torch.zeros(20, dtype=torch.int64))],
    )
    assert [each.tolist() for each in rare] == [[1, 3], [], [0, 2], []]
    subset = Subset(TrainingFeatures(domains), rare[:3])
    assert [each.tolist() for each in subset.labels] == [[1, 1], [1, 1]]
    drawn = torch.tensor([1, 0, 1])
    assert subset.take(0, drawn, torch.Generator()).flatten().tolist() == [3, 1, 3]
    assert subset.take(1, drawn, torch.Generator()).flatten().tolist() == [22, 20, 22]


@pytest.mark.parametrize("augment_validation", [False, True])
def test_it_is_the_selected_network_with_another_last_layer_and_leaves_the_run_as_it_is(
    make_run: MakeRun, augment_validation: bool
) -> None:
    fields = {**REFINED, "lr": 0.05, "augment_validation": augment_validation}
    refined, plain = make_run("refined", **fields), make_run("plain", **fields | {"arms": []})
    run_here(refined)
    run_here(plain)
    values = [
        [(event.step, event.id_accuracy) for event in of_type(run, Evaluated)]
        + [(event.step, event.loss) for event in of_type(run, StepsTaken)]
        for run in (refined, plain)
    ]
    assert values[0] == values[1]
    best, arm = (
        load_file(refined.checkpoints / f"{kind}.safetensors") for kind in ("best", "refined")
    )
    different = [name for name in best if not torch.equal(best[name], arm[name])]
    assert different == ["fc.bias", "fc.weight"]
    [evaluated] = of_type(refined, ArmEvaluated)
    assert (evaluated.arm, evaluated.step, evaluated.is_best) == ("refined", 6, True)
    assert (evaluated.plain_id_accuracy is not None) == augment_validation
    [event] = of_type(refined, HeadRefined)
    data = load_data(refined.read_spec(), refined.cache)
    quarter = sum(math.ceil(len(domain.in_indices) / 4) for domain in data.sources)
    assert (event.steps, event.images) == (5, quarter)
    assert [e.kind for e in of_type(refined, CheckpointSaved)][-1] == "refined"


def test_the_network_of_an_earlier_selected_step_is_refined(make_run: MakeRun) -> None:
    still = {"lr": 1e-30, "schedule": "constant", "weight_decay": 0.0, "scale_head_lr": False}
    run_dir = make_run(**REFINED | still | {"head_steps": 2})
    run_here(run_dir)
    assert [e.step for e in of_type(run_dir, Evaluated) if e.is_best] == [0]
    spec = run_dir.read_spec()
    training = prepare(spec, load_data(spec, run_dir.cache), run_dir, None)
    refined = training.arms.refined
    assert refined is not None
    with torch.no_grad():
        training.network.head.weight.add_(1.0)
        training.arms.after_selection()
        training.network.head.weight.add_(1.0)
    moved = training.network.head.weight - refined.network.head.weight
    assert torch.allclose(moved, torch.ones_like(moved))


def test_it_is_refined_at_the_final_dropout_rate_and_without_a_schedule_all_the_same(
    make_run: MakeRun,
) -> None:
    rising = {"dropout_schedule": "linear", "dropout_start": 0.1, "dropout_steps": 2}
    still = {"lr": 1e-30, "schedule": "constant", "weight_decay": 0.0, "scale_head_lr": False}
    losses = []
    for name, fields in {"rising": rising, "constant": {}}.items():
        run_dir = make_run(name, **REFINED | still | {"optimizer": "sgd"} | fields)
        run_here(run_dir)
        losses += [event.loss for event in of_type(run_dir, HeadRefined)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("fields", [{}, {"sparsity": 0.5, "sampling": "balanced"}], ids=str)
def test_stopped_while_refining_and_resumed_it_is_the_undisturbed_one(
    make_run: MakeRun, fields: dict[str, object]
) -> None:
    whole, parts = (make_run(name, **REFINED, **fields) for name in ("whole", "parts"))
    run_here(whole)
    outcome = stop_here(parts, 6 + 6 + 2)  # 6 steps, features of 6 batches, 2 more steps
    assert isinstance(outcome, RunStopped)
    assert outcome.step == 6
    assert of_type(parts, HeadRefined) == []
    run_here(parts)
    assert isinstance(read_events(parts)[-1], RunFinished)
    for name in ("best", "last", "refined"):
        ours, theirs = (
            load_file(run.checkpoints / f"{name}.safetensors") for run in (parts, whole)
        )
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    accuracies = [of_type(run, ArmEvaluated)[-1].metrics for run in (parts, whole)]
    assert accuracies[0] == accuracies[1]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        # The frozen backbone is that of the weights, not the random one of a new network.
        {"tuning": "linear", "linear_features": "penultimate", "sparsity": 0.5, "lr": 1e-30},
    ],
    ids=["full", "linear"],
)
def test_stopped_before_its_last_step_it_keeps_the_selected_network(
    make_run: MakeRun, fields: dict[str, object]
) -> None:
    fields = {**REFINED, "views": None, **fields}
    whole, parts = (make_run(name, **fields) for name in ("whole", "parts"))
    run_here(whole)
    stop_here(parts, 4)
    run_here(parts)
    ours, theirs = (load_file(run.checkpoints / "refined.safetensors") for run in (parts, whole))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


@pytest.mark.parametrize("views", [2, None])
def test_with_linear_tuning_only_the_last_layer_changes(
    make_run: MakeRun, views: int | None
) -> None:
    run_dir = make_run(**REFINED, tuning="linear", model="test_vit", views=views)
    run_here(run_dir)
    best, arm = (
        load_file(run_dir.checkpoints / f"{kind}.safetensors") for kind in ("best", "refined")
    )
    different = [name for name in best if not torch.equal(best[name], arm[name])]
    assert different == ["head.bias", "head.weight"]


def test_without_a_rare_class_it_is_refused_before_training(make_run: MakeRun) -> None:
    run_dir = make_run(**REFINED, refine_on="rare")
    with pytest.raises(InputError, match=r"no class has fewer than half of the mean of \d+ train"):
        run_here(run_dir)
    assert of_type(run_dir, StepsTaken) == []
