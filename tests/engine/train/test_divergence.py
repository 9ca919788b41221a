"""Training that leaves the finite numbers fails, says when and where, and leaves what was sound."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor

from engine.data import TrainingBatches
from engine.errors import TrainingError
from engine.protocol import RunFinished, encode_spec
from engine.run import run
from engine.rundir import RunDir
from engine.rundir.event_log import EventLog
from engine.stop_request import StopRequest
from engine.train import load_last
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
