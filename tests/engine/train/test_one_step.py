"""What one update and its evaluations leave behind."""

from __future__ import annotations

import pytest
import torch

from engine.protocol import CheckpointSaved, Evaluated, RunFinished
from engine.rundir import RunDir
from engine.train import load_last
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
    run_dir = make_run(**STILL)
    run_here(run_dir)
    events = read_events(run_dir)
    evaluated = [event for event in events if isinstance(event, Evaluated)]
    assert len({event.id_accuracy for event in evaluated}) == 1
    assert [event.is_best for event in evaluated] == [True, False, False]
    saved = [e.step for e in events if isinstance(e, CheckpointSaved) and e.kind == "best"]
    assert saved == [8]
    assert isinstance(events[-1], RunFinished)
    assert events[-1].selected_step == 8


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
