"""Losses that are not finite, and collapsed networks."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor

from engine.data import TrainingBatches
from engine.errors import TrainingError
from engine.evaluate import Evaluation
from engine.protocol import (
    CollapseDetected,
    Evaluated,
    RunFinished,
    RunSpec,
    encode_spec,
    evaluation_steps,
    resolve_spec,
)
from engine.run import run
from engine.rundir import RunDir
from engine.rundir.event_log import EventLog
from engine.stop_request import StopRequest
from engine.train import load_last
from engine.train.health import has_collapsed, has_learned, judge_collapse
from tests.small_runs import MakeRun, read_events, run_here

SHORT: dict[str, object] = {"optimizer": "sgd", "warmup_steps": 0, "schedule": "constant"}
DIVERGES: dict[str, object] = {**SHORT, "lr": 1e3, "head_lr_factor": 1e6}


def saved_step(run_dir: RunDir) -> int:
    """Return the step of the last checkpoint, all of whose values are finite."""
    checkpoint = load_last(run_dir.last_checkpoint)
    assert checkpoint is not None
    assert all(
        bool(tensor.isfinite().all())
        for tensor in checkpoint.tensors.values()
        if tensor.is_floating_point()
    )
    return checkpoint.state.step


def goes_on_with(run_dir: RunDir, lr: float) -> None:
    """Take the run up from its last checkpoint at another rate; it must come to its end."""
    spec = msgspec.structs.replace(run_dir.read_spec(), lr=lr)
    run_dir.spec.write_bytes(encode_spec(spec))
    run_here(run_dir)
    assert isinstance(read_events(run_dir)[-1], RunFinished)
    assert saved_step(run_dir) == spec.steps


@pytest.fixture
def draws(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list to put steps in (from 1), in whose batches one image is infinite."""
    draw, bad_steps, drawn = TrainingBatches.draw, list[int](), [0]

    def spoilt(batches: TrainingBatches) -> tuple[Tensor, Tensor]:
        images, labels = draw(batches)
        drawn[0] += 1
        if drawn[0] in bad_steps:
            images[3] = torch.inf
        return images, labels

    monkeypatch.setattr(TrainingBatches, "draw", spoilt)
    return bad_steps


def test_the_step_and_its_images_are_named_and_a_lower_rate_goes_on(make_run: MakeRun) -> None:
    run_dir = make_run(**DIVERGES)
    with pytest.raises(TrainingError) as failure:
        run_here(run_dir)
    message = str(failure.value)
    told = re.match(
        r"The loss of step (\d+) is (nan|inf) \([\d.e+]+ at the previous step\)\.", message
    )
    assert told is not None, message
    assert 1 < int(told[1]) <= 4  # the first reading
    batch = re.search(r"Batch: (.*) and 8 others\.", message)
    assert batch is not None, message
    root = run_dir.read_spec().data_dir or ""
    assert all((Path(root) / name).is_file() for name in batch[1].split(", "))
    assert "The checkpoint of step 0 is intact. Restart with a lower --lr" in message
    assert saved_step(run_dir) == 0
    goes_on_with(run_dir, 1e-4)


def test_one_bad_image_is_found_between_two_readings(make_run: MakeRun, draws: list[int]) -> None:
    draws.append(14)
    run_dir = make_run(**SHORT, lr=1e-4)
    with pytest.raises(TrainingError, match=r"The loss of step 14 is nan .* step 8 is intact"):
        run_here(run_dir)
    assert saved_step(run_dir) == 8
    draws.clear()
    goes_on_with(run_dir, 1e-5)


def test_without_a_checkpoint_none_is_promised(make_run: MakeRun, draws: list[int]) -> None:
    draws.append(1)
    run_dir = make_run(**SHORT, head_steps=0)
    with pytest.raises(TrainingError, match="The loss of step 1 is nan. Batch") as failure:
        run_here(run_dir)
    assert "checkpoint" not in str(failure.value)
    assert not run_dir.checkpoints.exists()


@pytest.mark.parametrize("stops", [False, True], ids=["at-a-milestone", "asked-to-stop"])
def test_weights_that_the_last_update_broke_are_not_saved(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, stops: bool
) -> None:
    run_dir, stop = make_run(**SHORT, lr=1e-4), StopRequest()
    broken_at = 13 if stops else 16
    update, taken = torch.optim.SGD.step, [0]

    def breaking(optimizer: torch.optim.SGD, *arguments: Any) -> object:
        result = update(optimizer, *arguments)
        taken[0] += 1
        if taken[0] == broken_at:
            optimizer.param_groups[1]["params"][1].data[0] = torch.inf
            stop.reason = "SIGTERM" if stops else ""
        return result

    monkeypatch.setattr(torch.optim.SGD, "step", breaking)
    with pytest.raises(TrainingError, match=f"infinite after step {broken_at}\\.") as told:
        run(run_dir, EventLog(run_dir.events), stop)
    assert told.value.step == broken_at
    assert saved_step(run_dir) == 8


ENTROPY = math.log(3)


def evaluation(predicted: tuple[int, ...], loss: float = 1.0) -> Evaluation:
    """Return what was found; ``loss`` is in units of the class entropy."""
    return Evaluation([], 0.3, 0.3, loss * ENTROPY, torch.tensor(predicted))


@pytest.mark.parametrize(
    ("predicted", "loss_of_entropy", "collapsed"),
    [
        ((0, 100, 0), 1.0, True),
        ((0, 100, 0), math.nan, True),
        ((2, 96, 2), 0.95, True),
        ((0, 100, 0), 0.5, False),  # it learns: the classes are all but one class
        ((20, 60, 20), 1.0, False),  # a poor network, but not a collapsed one
    ],
)
def test_a_collapse_is_one_class_predicted_at_the_class_entropy(
    predicted: tuple[int, ...], loss_of_entropy: float, collapsed: bool
) -> None:
    assert has_collapsed(evaluation(predicted, loss_of_entropy), ENTROPY) is collapsed


@pytest.mark.parametrize(
    ("step", "weights", "predicted", "learned", "found"),
    [
        (40, "pretrained", (100, 0, 0), False, True),
        (40, "pretrained", (40, 30, 30), False, False),
        (20, "pretrained", (100, 0, 0), False, None),  # the warm-up ends there
        (21, "pretrained", (100, 0, 0), False, True),
        (40, "pretrained", (6, 0, 0), False, None),  # of 6 images
        (40, "pretrained", (19, 0, 0), False, None),
        (40, "pretrained", (20, 0, 0), False, True),
        (40, "none", (100, 0, 0), False, None),  # it may not have learned yet
        (40, "none", (100, 0, 0), True, True),
        (120, "none", (100, 0, 0), False, True),
        (0, "pretrained", (100, 0, 0), False, None),
    ],
)
def test_a_collapse_is_told_when_it_can_be(
    step: int, weights: str, predicted: tuple[int, ...], learned: bool, found: bool | None
) -> None:
    spec = RunSpec(weights=weights, warmup_steps=20)
    assert judge_collapse(spec, step, evaluation(predicted), ENTROPY, learned=learned) is found


def test_one_update_of_a_new_last_layer_is_not_judged() -> None:
    spec = resolve_spec({"recipe": "paper"})
    first, second = evaluation_steps(spec)[:2]
    found = [
        judge_collapse(spec, step, evaluation((100, 0, 0)), ENTROPY, learned=False)
        for step in (first, second)
    ]
    assert found == [None, True]
    kept = RunSpec(weights="pretrained", head_steps=10)
    assert judge_collapse(kept, 1, evaluation((100, 0, 0)), ENTROPY, learned=False)


@pytest.mark.parametrize(("step", "found"), [(30, None), (31, True)])
def test_a_warm_up_is_not_judged(step: int, found: bool | None) -> None:
    spec = RunSpec(weights="pretrained", head_steps=10, warmup_steps=30)
    assert judge_collapse(spec, step, evaluation((100, 0, 0)), ENTROPY, learned=True) is found


def test_a_network_has_learned_when_it_knows_more_than_frequencies() -> None:
    assert has_learned(evaluation((50, 50, 0), loss=0.8), ENTROPY)
    assert not has_learned(evaluation((50, 50, 0), loss=1.2), ENTROPY)


def test_a_small_run_from_scratch_raises_no_alarm_and_tells_at_each_evaluation(
    make_run: MakeRun,
) -> None:
    run_dir = make_run(steps=2, eval_every=1, head_steps=0, warmup_steps=0, lr=1.0)
    run_here(run_dir)
    events = read_events(run_dir)
    assert not [event for event in events if isinstance(event, CollapseDetected)]
    told = [event.collapsed for event in events if isinstance(event, Evaluated)]
    assert len(told) == 2
    assert True not in told
