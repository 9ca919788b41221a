"""What a resumed run takes over from its checkpoint besides the network."""

from __future__ import annotations

import msgspec
import pytest
import torch

from engine.model.tensor_file import write_tensors
from engine.protocol import RunFinished, StepsTaken
from engine.rundir import RunDir
from engine.train import load_last
from engine.train.checkpoint import Checkpoint
from tests.small_runs import MakeRun, read_events, run_here, stop_here

SHORT = {"steps": 8, "eval_every": 8, "log_every": 4, "head_steps": 0}


def last_of(run_dir: RunDir) -> Checkpoint:
    checkpoint = load_last(run_dir.last_checkpoint)
    assert checkpoint is not None
    return checkpoint


def losses(run_dir: RunDir) -> dict[int, float | None]:
    events = read_events(run_dir)
    return {event.step: event.loss for event in events if isinstance(event, StepsTaken)}


@pytest.mark.parametrize("fields", [{}, {"objective": "groupdro"}, {"optimizer": "sgd"}], ids=str)
def test_a_run_that_is_stopped_between_readings_is_the_undisturbed_one(
    make_run: MakeRun, fields: dict[str, object]
) -> None:
    whole, parts = (make_run(name, **SHORT, **fields) for name in ("whole", "parts"))
    run_here(whole)
    stop_here(parts, 6)
    assert last_of(parts).state.step == 6
    run_here(parts)
    assert losses(parts) == losses(whole)
    ours, theirs = last_of(parts).tensors, last_of(whole).tensors
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_time_and_what_was_learned_add_up_over_attempts(make_run: MakeRun) -> None:
    run_dir = make_run(**SHORT, lr=1e-30)
    stop_here(run_dir, 6)
    before = last_of(run_dir)
    state = msgspec.structs.replace(before.state, elapsed_s=1000.0, has_learned=True)
    write_tensors(run_dir.last_checkpoint, before.tensors, msgspec.json.encode(state), {})
    run_here(run_dir)
    finished = read_events(run_dir)[-1]
    assert isinstance(finished, RunFinished)
    assert 1000 < finished.wall_s < 1100
    assert last_of(run_dir).state.has_learned
