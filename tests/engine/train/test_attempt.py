"""What is left of a run counts its evaluations as long as they will be."""

from __future__ import annotations

import time

import pytest
import torch

from engine.protocol import resolve_spec
from engine.train.attempt import Pace
from engine.train.checkpoint import TrainingState


def _left(pace: Pace, step: int) -> float:
    optimizer = torch.optim.SGD([{"params": [torch.zeros(1)]}, {"params": [torch.zeros(1)]}], lr=1)
    told = pace.steps_taken(step, 1.0, optimizer)
    assert told.seconds_left is not None
    return told.seconds_left - (20 - step) / told.steps_per_s


def _start(evaluation_s: float) -> TrainingState:
    return TrainingState(
        feature_rms=1.0, data_digest="", precision="fp32", memory_format="contiguous",
        evaluation_s=evaluation_s,
    )  # fmt: skip


def test_the_next_evaluations_take_what_was_foretold() -> None:
    spec = resolve_spec({"steps": 20, "eval_every": 5})
    pace = Pace(spec, _start(0.0), 1)
    pace.evaluated(1e-6, 100.0)  # before the first step, when no arm is there yet
    assert _left(pace, 5) == pytest.approx(3 * 100.0)


def test_they_are_counted_from_the_first() -> None:
    spec = resolve_spec({"steps": 20, "eval_every": 5, "eval_from": 1})
    pace = Pace(spec, _start(100.0), 1)
    assert _left(pace, 1) == pytest.approx(4 * 100.0)  # after 6, 11, 16 and 20
    assert _left(pace, 16) == pytest.approx(100.0)


def test_a_resumed_run_knows_how_long_they_take() -> None:
    spec = resolve_spec({"steps": 20, "eval_every": 5})
    assert _left(Pace(spec, _start(60.0), 1), 10) == pytest.approx(2 * 60.0)


def test_the_time_of_a_run_counts_its_preparation() -> None:
    spec = resolve_spec({"steps": 20, "eval_every": 5})
    pace = Pace(spec, _start(0.0), 1, began=time.perf_counter() - 100.0)
    assert pace.elapsed_s == pytest.approx(100.0, abs=1.0)
    optimizer = torch.optim.SGD([{"params": [torch.zeros(1)]}, {"params": [torch.zeros(1)]}], lr=1)
    assert pace.steps_taken(5, 1.0, optimizer).steps_per_s > 1, "of the steps alone"
