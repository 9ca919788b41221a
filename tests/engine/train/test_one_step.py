"""What one update and its evaluations leave behind."""

from __future__ import annotations

import dataclasses
import statistics

import pytest
import torch

from engine.data import load_data
from engine.protocol import ArmEvaluated, CheckpointSaved, Evaluated, RunFinished, StepsTaken
from engine.rundir import RunDir
from engine.train import load_last
from engine.train.loop import take_step
from engine.train.setup import prepare
from tests.small_runs import MakeRun, read_events, run_here

STILL = {
    "lr": 1e-30,
    "head_lr_factor": 1.0,
    "scale_head_lr": False,
    "warmup_steps": 0,
    "schedule": "constant",
    "momentum": 0.0,
    "weight_decay": 0.0,
    "optimizer": "sgd",
    "head_steps": 0,
}
"""A run whose weights stay what they were."""


def weights(run_dir: RunDir) -> torch.Tensor:
    checkpoint = load_last(run_dir.last_checkpoint)
    assert checkpoint is not None
    network = checkpoint.part("network.")
    named = [tensor for name, tensor in network.items() if "running" not in name]
    return torch.cat([tensor.double().flatten() for tensor in named])


def test_of_equally_good_steps_the_first_is_selected(make_run: MakeRun) -> None:
    run_dir = make_run(**STILL, arms=["averaged", "ensemble"])
    run_here(run_dir)
    events = read_events(run_dir)
    evaluated = [event for event in events if isinstance(event, Evaluated)]
    assert len({event.id_accuracy for event in evaluated}) == 1
    assert [event.is_best for event in evaluated] == [True, False, False]
    saved = [e.step for e in events if isinstance(e, CheckpointSaved) and e.kind == "best"]
    assert saved == [8]
    assert isinstance(events[-1], RunFinished)
    assert events[-1].selected_step == 8
    assert events[-1].ood_accuracy == evaluated[0].ood_accuracy != evaluated[0].id_accuracy

    arms = [event for event in events if isinstance(event, ArmEvaluated)]
    assert len({event.id_accuracy for event in arms}) == 1
    assert [event.step for event in arms if event.is_best] == [8, 8]
    assert [e.step for e in events if isinstance(e, CheckpointSaved) and e.kind == "averaged"] == [
        8
    ]


def test_the_norm_that_is_clipped_is_that_of_all_weights(make_run: MakeRun) -> None:
    plain = {**STILL, "steps": 1, "eval_every": 1}
    still, clipped = (
        make_run("still", **plain),
        make_run("clipped", **plain | {"lr": 1.0, "grad_clip": 0.01}),
    )
    run_here(still)
    run_here(clipped)
    moved = weights(clipped) - weights(still)
    assert float(moved.norm()) == pytest.approx(0.01, rel=1e-2)


def test_clipping_does_not_see_the_scale_of_the_loss(make_run: MakeRun) -> None:
    run_dir = make_run(**STILL | {"lr": 1.0, "grad_clip": 0.01})
    spec = run_dir.read_spec()
    training = prepare(spec, load_data(spec, run_dir.cache), run_dir, None)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    parameters = list(training.network.module.parameters())
    before = [each.detach().clone() for each in parameters]
    take_step(spec, dataclasses.replace(training, scaler=scaler), 0)
    moved = [now.detach() - then for now, then in zip(parameters, before, strict=True)]
    assert float(torch.cat([each.flatten() for each in moved]).norm()) == pytest.approx(0.01, 1e-2)


def readings(run_dir: RunDir) -> list[StepsTaken]:
    run_here(run_dir)
    return [event for event in read_events(run_dir) if isinstance(event, StepsTaken)]


def test_a_reading_has_the_mean_loss_since_the_last_and_the_rate_of_its_step(
    make_run: MakeRun,
) -> None:
    fields = {**STILL, "lr": 0.01, "steps": 8, "warmup_steps": 4, "eval_every": 8}
    each = readings(make_run("each", **fields, log_every=1))
    some = readings(make_run("some", **fields, log_every=3))
    assert [event.lr for event in each] == pytest.approx([0.0025, 0.005, 0.0075, *[0.01] * 5])
    assert [event.step for event in some] == [3, 6, 8]
    losses = [event.loss or 0.0 for event in each]
    means = [statistics.fmean(part) for part in (losses[:3], losses[3:6], losses[6:])]
    assert [event.loss for event in some] == pytest.approx(means)


def test_the_run_s_dropout_is_trained_with(make_run: MakeRun) -> None:
    fields = {**STILL, "steps": 1, "eval_every": 1, "log_every": 1}
    none, half, most = (
        readings(make_run(f"rate-{rate}", **fields, dropout_rate=rate))[0].loss
        for rate in (0.0, 0.5, 0.95)
    )
    assert len({none, half, most}) == 3


def test_statistics_of_batches_move_at_every_step_of_training(make_run: MakeRun) -> None:
    run_dir = make_run(**STILL | {"steps": 6, "eval_every": 2, "freeze_batchnorm": False})
    run_here(run_dir)
    checkpoint = load_last(run_dir.last_checkpoint)
    assert checkpoint is not None
    counts = [int(each) for name, each in checkpoint.tensors.items() if "num_batches" in name]
    assert set(counts) == {6}, "evaluations in between leave it in training"
