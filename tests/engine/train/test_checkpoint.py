"""The state in a checkpoint, and what a resumed run takes over from it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import torch

from engine.model.tensor_file import write_tensors
from engine.protocol import RunFinished, StepsTaken
from engine.rundir import RunDir
from engine.train.checkpoint import Checkpoint, TrainingState, load_last, restore, save_last
from tests.small_runs import MakeRun, read_events, run_here, stop_here

SHORT = {"steps": 8, "eval_every": 8, "log_every": 4, "head_steps": 0}


def test_a_scaler_goes_on_from_its_saved_state() -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2)
    weight = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.1)

    def step() -> None:
        scaler.scale((weight**2).sum()).backward()
        scaler.step(optimizer)
        scaler.update()

    step()
    state = TrainingState(
        feature_rms=1.0,
        data_digest="",
        precision="fp16",
        memory_format="contiguous",
        scaler=scaler.state_dict(),
    )
    saved = msgspec.json.encode(state)
    scaler = torch.amp.GradScaler("cpu")
    scaler.load_state_dict(msgspec.json.decode(saved, type=TrainingState).scaler)
    step()
    assert scaler.get_scale() == 8.0


def test_a_checkpoint_brings_the_scale_of_the_loss_back(tmp_path: Path) -> None:
    module = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=1)
    scaler.scale(module(torch.ones(2)).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    state = TrainingState(
        feature_rms=1.0,
        data_digest="",
        precision="fp16",
        memory_format="contiguous",
        scaler=scaler.state_dict(),
    )
    save_last(tmp_path / "c" / "last.safetensors", state, module, optimizer, {})
    checkpoint = load_last(tmp_path / "c" / "last.safetensors")
    assert checkpoint is not None
    fresh = torch.amp.GradScaler("cpu")
    restore(checkpoint, module, optimizer, fresh, {})
    assert fresh.state_dict() == scaler.state_dict()
    assert fresh.get_scale() == 8.0


def test_restored_optimizer_state_lies_in_memory_as_its_parameters_do(tmp_path: Path) -> None:
    """Fused updates on a GPU refuse momentum that is laid out otherwise."""

    def make() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        module = torch.nn.Conv2d(3, 4, 3)
        module.to(memory_format=torch.channels_last)
        return module, torch.optim.AdamW(module.parameters(), lr=0.1)

    def step(module: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        module(torch.ones(1, 3, 5, 5)).square().sum().backward()
        optimizer.step()

    state = TrainingState(
        feature_rms=1.0, data_digest="", precision="fp32", memory_format="channels_last"
    )
    module, optimizer = make()
    step(module, optimizer)
    save_last(tmp_path / "c" / "last.safetensors", state, module, optimizer, {})
    checkpoint = load_last(tmp_path / "c" / "last.safetensors")
    assert checkpoint is not None
    other, resumed = make()
    restore(checkpoint, other, resumed, torch.amp.GradScaler("cpu", enabled=False), {})
    for parameter, values in resumed.state.items():
        assert values["exp_avg"].stride() == parameter.stride()
    step(module, optimizer)
    step(other, resumed)
    for one, another in zip(module.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, another)


def last_of(run_dir: RunDir) -> Checkpoint:
    checkpoint = load_last(run_dir.last_checkpoint)
    assert checkpoint is not None
    return checkpoint


def losses(run_dir: RunDir) -> dict[int, float | None]:
    events = read_events(run_dir)
    return {event.step: event.loss for event in events if isinstance(event, StepsTaken)}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"objective": "groupdro"},
        {"objective": "rpdro+vrex", "vrex_anneal_steps": 7, "class_weights": "balanced"},
        {"optimizer": "sgd", "sparsity": 0.5},
        {"masks": "inf", "mask_draws": 9},
        {"objective": "odd", "odd_from": 2},
        {"objective": "mixup"},
    ],
    ids=str,
)
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
