"""Runs whose masks drop something else than units of the penultimate features."""

from __future__ import annotations

import pytest
import torch

from engine.protocol import HeadTrained, StepsTaken
from engine.rundir import RunDir
from engine.train import load_last
from tests.small_runs import MakeRun, read_events, run_here, stop_here

SHORT = {"steps": 6, "warmup_steps": 0, "eval_every": 3, "log_every": 1}


def basis_of(run_dir: RunDir) -> dict[str, torch.Tensor]:
    checkpoint = load_last(run_dir.last_checkpoint)
    assert checkpoint is not None
    return checkpoint.part("mask_basis.")


def losses(run_dir: RunDir, kind: type[HeadTrained | StepsTaken]) -> list[float | None]:
    return [event.loss for event in read_events(run_dir) if isinstance(event, kind)]


@pytest.mark.parametrize(
    "fields",
    [
        {"masks": "inf", "mask_draws": 9, "mask_basis": "pca", "mask_basis_every": 3},
        {"mask_at": "layer2", "micro_batch_size": 5},
    ],
    ids=str,
)
def test_a_resumed_run_is_the_one_never_interrupted(
    make_run: MakeRun, fields: dict[str, object]
) -> None:
    whole, parts = (make_run(name, head_steps=0, **SHORT, **fields) for name in ("whole", "parts"))
    run_here(whole)
    stop_here(parts, 4)
    run_here(parts)
    assert losses(parts, StepsTaken) == losses(whole, StepsTaken)
    ours, theirs = load_last(parts.last_checkpoint), load_last(whole.last_checkpoint)
    assert ours is not None
    assert theirs is not None
    assert ours.tensors.keys() == theirs.tensors.keys()
    differing = [
        name for name in ours.tensors if not torch.equal(ours.tensors[name], theirs.tensors[name])
    ]
    assert differing == []


def test_directions_stay_those_of_the_start_unless_they_are_updated(make_run: MakeRun) -> None:
    fields = {**SHORT, "mask_basis": "pca", "head_steps": 0, "lr": 1e-2}
    kept, updated = make_run("kept", **fields), make_run("updated", mask_basis_every=5, **fields)
    run_here(kept)
    run_here(updated)

    assert losses(kept, StepsTaken)[:5] == losses(updated, StepsTaken)[:5]
    assert losses(kept, StepsTaken)[5] != losses(updated, StepsTaken)[5]
    old, new = basis_of(kept), basis_of(updated)
    assert not torch.allclose(old["mean"], new["mean"])
    for basis in (old, new):
        identity = basis["directions"].T @ basis["directions"]
        assert torch.allclose(identity, torch.eye(len(identity)), atol=1e-5)


def test_masks_of_units_and_runs_without_dropout_have_no_basis(make_run: MakeRun) -> None:
    units, erm = (
        make_run("units", **SHORT),
        make_run("erm", dropout_rate=0, mask_basis="pca", **SHORT),
    )
    run_here(units)
    run_here(erm)
    assert basis_of(units) == basis_of(erm) == {}


def test_the_last_layer_is_trained_first_in_the_same_directions(make_run: MakeRun) -> None:
    units, pca = make_run("units", **SHORT), make_run("pca", mask_basis="pca", **SHORT)
    run_here(units)
    run_here(pca)
    assert losses(units, HeadTrained) != losses(pca, HeadTrained)


def test_the_last_layer_is_trained_first_without_masks_if_they_are_inside_the_network(
    make_run: MakeRun,
) -> None:
    inside = make_run("inside", mask_at="layer2", **SHORT)
    plain = make_run("plain", dropout_rate=0, masks=1, **SHORT)
    run_here(inside)
    run_here(plain)
    assert losses(inside, HeadTrained) == losses(plain, HeadTrained)
    assert losses(inside, StepsTaken)[0] != losses(plain, StepsTaken)[0]
