"""Runs whose zero weights stay zero, pruned at the start or loaded so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.data import load_data
from engine.errors import InputError
from engine.model import build_for
from engine.model.sparse import prunable_weights
from engine.protocol import FeaturesComputed, ModelPrepared, RunFinished, RunSpec
from engine.rundir import RunDir
from engine.train import load_last
from engine.train.loop import take_step
from engine.train.setup import prepare
from tests.small_runs import MakeRun, read_events, run_here, stop_here

SHORT = {"steps": 6, "warmup_steps": 0, "eval_every": 3, "head_steps": 0}


def names_of(spec: RunSpec) -> list[str]:
    """Return the names of the tensors that may be pruned."""
    return list(prunable_weights(build_for(spec, ("a", "b", "c"), seed=0, is_pretrained=False)))


def shares(file: Path, spec: RunSpec) -> list[float]:
    """Return the share of zeros in each tensor of a checkpoint that may be pruned."""
    tensors = load_file(file)
    return [float((tensors[name] == 0).double().mean()) for name in names_of(spec)]


def prepared(run_dir: RunDir) -> ModelPrepared:
    [event] = [each for each in read_events(run_dir) if isinstance(each, ModelPrepared)]
    return event


@pytest.mark.parametrize(
    "fields",
    [
        {"optimizer": "adamw", "weight_decay": 0.1, "arms": ["averaged"]},
        {"optimizer": "sgd", "momentum": 0.9, "precision": "bf16", "micro_batch_size": 5},
        {"memory_format": "channels_last", "fold_batchnorm": "off", "grad_clip": 1.0},
    ],
    ids=["adamw", "bf16", "channels-last"],
)
def test_weights_are_exactly_zero_after_each_step(
    make_run: MakeRun, fields: dict[str, object]
) -> None:
    run_dir = make_run(**SHORT, sparsity=0.6, **fields)
    spec = run_dir.read_spec()
    training = prepare(spec, load_data(spec, run_dir.cache), run_dir, None)
    zeros = training.zeros.tensors()
    weights = prunable_weights(training.network)
    assert zeros.keys() == weights.keys()
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    training.network.set_training(freeze_batchnorm=True)
    for step in range(3):
        take_step(spec, training, step)
        for name, weight in weights.items():
            assert bool((weight[zeros[name]] == 0).all())
    moved = sum(int((weight != before[name]).sum()) for name, weight in weights.items())
    assert moved > 0.35 * sum(weight.numel() for weight in weights.values())


def test_a_pruned_run_and_its_average_stay_as_sparse(make_run: MakeRun) -> None:
    run_dir = make_run(**SHORT, sparsity=0.5, arms=["averaged"])
    run_here(run_dir)
    spec = run_dir.read_spec()
    assert prepared(run_dir).sparsity == pytest.approx(0.5, abs=1e-3)
    for kind in ("best", "averaged"):
        found = shares(run_dir.checkpoints / f"{kind}.safetensors", spec)
        assert found == pytest.approx([0.5] * len(found), abs=1e-2)


def test_zeros_of_a_file_are_kept_and_without_the_setting_are_trained(make_run: MakeRun) -> None:
    pruned = make_run("pruned", **SHORT, sparsity=0.8)
    run_here(pruned)
    file = pruned.checkpoints / "best.safetensors"
    runs = {
        keeps: make_run(f"keeps-{keeps}", **SHORT, weights=str(file), keep_zeros=keeps)
        for keeps in (True, False)
    }
    for run_dir in runs.values():
        run_here(run_dir)
    spec = runs[True].read_spec()
    assert prepared(runs[True]).sparsity == pytest.approx(0.8, abs=1e-3)
    assert prepared(runs[False]).sparsity is None
    kept, trained = (shares(runs[each].checkpoints / "best.safetensors", spec) for each in runs)
    assert kept == pytest.approx([0.8] * len(kept), abs=1e-2)
    assert sum(trained) < 0.5 * sum(kept)  # others belong to channels that are never active


def test_resumed_it_is_the_run_never_interrupted(make_run: MakeRun) -> None:
    fields = {**SHORT, "sparsity": 0.5, "arms": ["averaged"]}
    whole, parts = make_run("whole", **fields), make_run("parts", **fields)
    run_here(whole)
    stop_here(parts, 2)
    stopped = load_last(parts.last_checkpoint)
    assert stopped is not None
    assert stopped.state.step == 2
    run_here(parts)
    ours, theirs = load_file(parts.last_checkpoint), load_file(whole.last_checkpoint)
    assert ours.keys() == theirs.keys()
    assert any(name.startswith("zeros.") for name in ours)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    found = [e.sparsity for e in read_events(parts) if isinstance(e, ModelPrepared)]
    assert found == [prepared(whole).sparsity] * 2


def test_a_weight_that_training_makes_zero_is_not_kept_after_resuming(make_run: MakeRun) -> None:
    run_dir = make_run(**SHORT, sparsity=0.5)
    stop_here(run_dir, 2)
    spec, checkpoint = run_dir.read_spec(), load_last(run_dir.last_checkpoint)
    assert checkpoint is not None
    name = names_of(spec)[0]
    checkpoint.part("network.")[name].zero_()
    training = prepare(spec, load_data(spec, run_dir.cache), run_dir, checkpoint)
    training.restore(checkpoint)
    weight = prunable_weights(training.network)[name]
    assert bool((weight == 0).all())
    with torch.no_grad():
        weight.fill_(1.0)
    training.zeros.restore()
    assert float((weight == 0).double().mean()) == pytest.approx(0.5, abs=1e-2)


def test_a_frozen_network_is_pruned_and_its_features_are_its_own(make_run: MakeRun) -> None:
    fields = {**SHORT, "tuning": "linear", "linear_features": "penultimate", "views": 1}
    dense, sparse, again = (
        make_run(f"of-{number}", **fields, sparsity=sparsity)
        for number, sparsity in enumerate((0.0, 0.9, 0.9))
    )
    for run_dir in (dense, sparse, again):
        run_here(run_dir)
        assert isinstance(read_events(run_dir)[-1], RunFinished)
    assert prepared(sparse).sparsity == pytest.approx(0.9, abs=1e-3)
    assert prepared(sparse).feature_rms != prepared(dense).feature_rms
    computed = [
        event.total - event.reused
        for run_dir in (dense, sparse, again)
        for event in read_events(run_dir)
        if isinstance(event, FeaturesComputed)
    ]
    assert computed[0] == computed[1] > computed[2] == 0


def test_a_network_with_hardly_any_weights_left_is_refused(make_run: MakeRun) -> None:
    run_dir = make_run(**SHORT, sparsity=0.99999)
    with pytest.raises(InputError, match=r"features are all zero .* lower --sparsity"):
        run_here(run_dir)


def test_dense_weights_are_refused_with_their_share(make_run: MakeRun) -> None:
    run_dir = make_run(
        **SHORT, model="tf_efficientnet_lite0", weights="pretrained", keep_zeros=True
    )
    with pytest.raises(InputError, match=r"Only 0\.17% of the weights .* are zero"):
        run_here(run_dir)
