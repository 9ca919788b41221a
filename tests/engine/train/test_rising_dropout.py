"""Runs whose dropout rate rises while they train."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from engine.protocol import HeadTrained, RunFinished, StepsTaken
from engine.rundir import RunDir
from tests.small_runs import MakeRun, read_events, run_here, stop_here

RISING = {
    "dropout_schedule": "linear", "dropout_start": 0.1, "dropout_steps": 4, "masks": 3,
    "steps": 6, "warmup_steps": 2, "eval_every": 3, "log_every": 1,
}  # fmt: skip


def steps_of(run_dir: RunDir) -> dict[int, tuple[float | None, float | None]]:
    """Return the loss and the dropout rate of each step."""
    return {
        event.step: (event.loss, event.dropout_rate)
        for event in read_events(run_dir)
        if isinstance(event, StepsTaken)
    }


def losses_of_last_layer(run_dir: RunDir) -> list[float | None]:
    return [each.loss for each in read_events(run_dir) if isinstance(each, HeadTrained)]


@pytest.mark.parametrize("micro_batch_size", [None, 5])
def test_resumed_while_it_rises_it_is_the_run_never_interrupted(
    make_run: MakeRun, micro_batch_size: int | None
) -> None:
    fields = {**RISING, "micro_batch_size": micro_batch_size, "arms": ["averaged"], "head_steps": 0}
    whole, parts = make_run("whole", **fields), make_run("parts", **fields)
    run_here(whole)
    stop_here(parts, 2)
    assert list(steps_of(parts)) == [1, 2]
    run_here(parts)
    assert steps_of(parts) == steps_of(whole)
    rates = [rate for _, rate in steps_of(whole).values()]
    assert rates == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9, 0.9])
    ours, theirs = load_file(parts.last_checkpoint), load_file(whole.last_checkpoint)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_it_starts_as_a_run_at_the_lower_rate_and_then_differs(make_run: MakeRun) -> None:
    fields = {**RISING, "dropout_rate": 0.1, "dropout_schedule": "constant"}
    low, rising = make_run("low", **fields), make_run("rising", **RISING)
    run_here(low)
    run_here(rising)
    assert losses_of_last_layer(rising) == losses_of_last_layer(low)
    assert steps_of(rising)[1] == steps_of(low)[1]
    assert steps_of(rising)[2] != steps_of(low)[2]


def test_it_may_rise_from_no_dropout(make_run: MakeRun) -> None:
    run_dir = make_run(**RISING | {"dropout_start": 0, "head_steps": 0})
    run_here(run_dir)
    assert [rate for _, rate in steps_of(run_dir).values()][:2] == pytest.approx([0, 0.225])
    assert isinstance(read_events(run_dir)[-1], RunFinished)
