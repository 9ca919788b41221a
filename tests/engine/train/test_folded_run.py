"""A run that folds BatchNorm is the run that does not, up to rounding."""

from __future__ import annotations

import msgspec
import pytest
import torch

from engine.model.tensor_file import write_tensors
from engine.protocol import Evaluated, ModelPrepared, StepsTaken
from engine.rundir import RunDir
from engine.train import load_last
from engine.train.checkpoint import Checkpoint
from tests.small_runs import MakeRun, read_events, run_here, stop_here

SHORT = {
    "steps": 8,
    "head_steps": 0,
    "eval_every": 4,
    "log_every": 1,
    "arms": ["averaged", "ensemble"],
}


def last_of(run_dir: RunDir) -> Checkpoint:
    checkpoint = load_last(run_dir.last_checkpoint)
    assert checkpoint is not None
    return checkpoint


def losses(run_dir: RunDir) -> list[float | None]:
    return [event.loss for event in read_events(run_dir) if isinstance(event, StepsTaken)]


def validation_losses(run_dir: RunDir) -> list[float | None]:
    return [
        metric.value
        for event in read_events(run_dir)
        if isinstance(event, Evaluated)
        for metric in event.metrics
        if metric.name == "loss"
    ]


def folds(run_dir: RunDir) -> list[bool]:
    events = read_events(run_dir)
    return [event.folds_batchnorm for event in events if isinstance(event, ModelPrepared)]


def test_losses_and_weights_agree_with_those_of_a_run_that_does_not_fold(make_run: MakeRun) -> None:
    on, off = (make_run(each, **SHORT, fold_batchnorm=each) for each in ("on", "off"))
    for run_dir in (on, off):
        run_here(run_dir)
    assert (folds(on), folds(off)) == ([True], [False])
    assert losses(on) == pytest.approx(losses(off), rel=1e-4)
    assert validation_losses(on) == pytest.approx(validation_losses(off), rel=1e-3)
    ours, theirs = last_of(on).tensors, last_of(off).tensors
    assert ours.keys() == theirs.keys()
    assert any(not torch.equal(ours[name], theirs[name]) for name in ours), "computed differently"
    for name in ours:
        if name.startswith("network."):
            torch.testing.assert_close(ours[name], theirs[name], rtol=1e-3, atol=1e-4)


def test_statistics_that_train_are_not_folded_in_training(make_run: MakeRun) -> None:
    runs = [
        make_run(each, **SHORT, fold_batchnorm=each, freeze_batchnorm=False)
        for each in ("on", "off")
    ]
    for run_dir in runs:
        run_here(run_dir)
    on, off = runs
    assert folds(on) == [False]
    assert losses(on) == pytest.approx(losses(off), rel=1e-5)  # the cached features are folded
    assert validation_losses(on) == pytest.approx(validation_losses(off), rel=1e-4)


@pytest.mark.parametrize("folded", [True, False])
def test_a_resumed_run_folds_as_its_checkpoint_says(make_run: MakeRun, *, folded: bool) -> None:
    run_dir = make_run(**SHORT, fold_batchnorm="on" if folded else "off")
    stop_here(run_dir, 6)
    state = last_of(run_dir).state
    assert (state.folds_training, state.folds_inference) == (folded, folded)
    other = msgspec.structs.replace(state, folds_training=not folded)
    write_tensors(run_dir.last_checkpoint, last_of(run_dir).tensors, msgspec.json.encode(other), {})
    run_here(run_dir)
    assert folds(run_dir) == [folded, not folded]


def test_a_checkpoint_of_before_folding_resumes_without_it(make_run: MakeRun) -> None:
    whole, parts = (make_run(name, **SHORT, fold_batchnorm="off") for name in ("whole", "parts"))
    run_here(whole)
    stop_here(parts, 6)
    checkpoint = last_of(parts)
    values = msgspec.json.decode(msgspec.json.encode(checkpoint.state))
    for name in ("folds_training", "folds_inference"):
        del values[name]
    write_tensors(parts.last_checkpoint, checkpoint.tensors, msgspec.json.encode(values), {})
    (parts.path / "spec.json").write_bytes(
        (parts.path / "spec.json").read_bytes().replace(b'"off"', b'"auto"')
    )
    run_here(parts)
    assert losses(parts) == losses(whole)
    assert validation_losses(parts) == validation_losses(whole)
