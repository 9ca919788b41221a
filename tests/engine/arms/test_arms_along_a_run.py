"""Averaged weights and the ensemble of a run's own networks, in real small runs."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from engine.arms import network_copy
from engine.arms.averaged import Averaged
from engine.arms.ensemble import Ensemble
from engine.evaluate import Evaluation
from engine.protocol import ArmEvaluated, CheckpointSaved, Evaluated, RunFinished, SpecError
from engine.rundir import RunDir
from tests.small_runs import MakeRun, read_events, run_here

ARMS = {"arms": ["averaged", "ensemble"]}


def _arm_events(run_dir: RunDir, arm: str) -> list[ArmEvaluated]:
    events = read_events(run_dir)
    return [each for each in events if isinstance(each, ArmEvaluated) and each.arm == arm]


@pytest.fixture
def seen_weights(monkeypatch: pytest.MonkeyPatch) -> dict[int, dict[str, Tensor]]:
    """Return the run's own weights after every step, as they are while the run goes on."""
    seen: dict[int, dict[str, Tensor]] = {}
    real = Averaged.after_step

    def spy(arm: Averaged, updates: int) -> None:
        state = arm._sum.running.state_dict()
        seen[updates] = {name: tensor.clone() for name, tensor in state.items()}
        real(arm, updates)

    monkeypatch.setattr(Averaged, "after_step", spy)
    return seen


@pytest.mark.parametrize(("first", "every"), [(1, 1), (5, 3)])
def test_the_averaged_network_is_the_float64_mean_of_the_weights_of_its_steps(
    make_run: MakeRun, seen_weights: dict[int, dict[str, Tensor]], first: int, every: int
) -> None:
    run_dir = make_run(**ARMS, average_from=first, average_every=every, freeze_batchnorm=False)
    run_here(run_dir)
    best = max(_arm_events(run_dir, "averaged"), key=lambda each: (each.id_accuracy, -each.step))
    saved = load_file(run_dir.checkpoints / "averaged.safetensors")
    steps = [step for step in seen_weights if step in range(first, best.step + 1, every)]
    assert steps
    for name, tensor in saved.items():
        if tensor.is_floating_point():
            weights = torch.stack([seen_weights[step][name].double() for step in steps])
            assert float((weights.mean(dim=0) - tensor.double()).abs().max()) <= 1e-6
        else:
            assert torch.equal(tensor, seen_weights[best.step][name])


def test_the_ensemble_is_exactly_the_sum_of_the_logits_of_the_evaluations(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[dict[str, Tensor]] = []
    sums: list[dict[str, Tensor]] = []
    real = Ensemble.evaluate

    def spy(arm: Ensemble, step: int, evaluation: Evaluation) -> Evaluation | None:
        found = real(arm, step, evaluation)
        logits = {f"{each.split}.{each.domain.name}": each.result for each in evaluation.measured}
        saved.append({key: each.logits for key, each in logits.items() if each.logits is not None})
        sums.append(dict(arm.tensors()))
        return found

    monkeypatch.setattr(Ensemble, "evaluate", spy)
    run_dir = make_run(**ARMS)
    run_here(run_dir)
    assert len(saved) == 3
    for count in (1, 2, 3):
        assert int(sums[count - 1].pop("count")) == count
        for key, total in sums[count - 1].items():
            logits = [each[key].double() for each in saved[:count]]
            assert torch.equal(total, reduce(torch.add, logits))
    _check_losses(run_dir)
    first = _arm_events(run_dir, "ensemble")[0]
    own = [each for each in read_events(run_dir) if isinstance(each, Evaluated)][1]
    assert (first.step, first.id_accuracy) == (own.step, own.id_accuracy)  # an ensemble of one


def test_a_restored_ensemble_is_the_one_that_was_saved(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[bool] = []
    real = Ensemble.evaluate

    def spy(arm: Ensemble, step: int, evaluation: Evaluation) -> Evaluation | None:
        restored = Ensemble(arm._spec, arm._data)
        restored.restore({name: tensor.clone() for name, tensor in arm.tensors().items()})
        found = real(arm, step, evaluation)
        again = real(restored, step, evaluation)
        assert found is not None
        assert again is not None
        compared.append(again.metrics == found.metrics)
        return found

    monkeypatch.setattr(Ensemble, "evaluate", spy)
    run_here(make_run(arms=["ensemble"]))
    assert compared == [True] * 3


def _check_losses(run_dir: RunDir) -> None:
    """Check that the loss is of the mean of logits: never above the mean of their losses."""
    own = [each for each in read_events(run_dir) if isinstance(each, Evaluated) and each.step > 0]
    for count, ensemble in enumerate(_arm_events(run_dir, "ensemble"), start=1):
        for at, metric in enumerate(ensemble.metrics):
            if metric.name == "loss" and metric.value is not None:
                of_each = [each.metrics[at].value or 0.0 for each in own[:count]]
                assert metric.value <= sum(of_each) / count + 1e-6


def test_an_average_that_would_begin_after_the_run_is_refused(make_run: MakeRun) -> None:
    with pytest.raises(SpecError, match="nothing would be averaged"):
        make_run("never", **ARMS, average_from=25)


def test_average_and_ensemble_begin_with_the_first_averaged_step(make_run: MakeRun) -> None:
    run_dir = make_run(**ARMS, average_from=9)
    run_here(run_dir)
    assert [each.step for each in _arm_events(run_dir, "averaged")] == [16, 24]
    own = [each for each in read_events(run_dir) if isinstance(each, Evaluated)]
    first, second = _arm_events(run_dir, "ensemble")
    assert (first.step, second.step) == (16, 24)
    assert [first.id_accuracy] == [each.id_accuracy for each in own if each.step == 16]
    assert [each.value for each in first.metrics] == pytest.approx(
        [metric.value for each in own if each.step == 16 for metric in each.metrics], rel=1e-5
    )


def test_arms_are_evaluated_with_the_run_and_leave_it_alone(make_run: MakeRun) -> None:
    plain, with_arms = make_run("plain"), make_run("arms", **ARMS)
    run_here(plain)
    run_here(with_arms)
    own = [each for each in read_events(with_arms) if isinstance(each, Evaluated)]
    for arm in ("averaged", "ensemble"):
        events = _arm_events(with_arms, arm)
        assert [each.step for each in events] == [each.step for each in own if each.step > 0]
        assert {metric.arm for each in events for metric in each.metrics} == {arm}
        best, expected = 0.0, []
        for each in events:
            expected.append(each.id_accuracy > best)
            best = max(best, each.id_accuracy)
        assert [each.is_best for each in events] == expected

    def told(run_dir: RunDir) -> list[tuple[object, ...]]:
        return [
            (each.step, each.id_accuracy, each.ood_accuracy, each.is_best)
            for each in read_events(run_dir)
            if isinstance(each, Evaluated)
        ]

    assert told(plain) == told(with_arms)
    kinds = {each.kind for each in read_events(with_arms) if isinstance(each, CheckpointSaved)}
    assert kinds == {"best", "last", "averaged"}


def test_batchnorm_statistics_can_be_estimated_anew(make_run: MakeRun) -> None:
    mean = make_run("averaged", **ARMS, freeze_batchnorm=False)
    estimated = make_run(
        "estimated", **ARMS, freeze_batchnorm=False, average_batchnorm="reestimate"
    )
    run_here(mean)
    run_here(estimated)
    first, second = (
        [each.metrics for each in _arm_events(run_dir, "averaged")] for run_dir in (mean, estimated)
    )
    assert first != second
    ensembles = (
        [each.metrics for each in _arm_events(run_dir, "ensemble")] for run_dir in (mean, estimated)
    )
    assert next(ensembles) == next(ensembles)


def test_they_are_estimated_on_whole_batches_of_all_sources_alike(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def spy(batches: Iterable[Tensor], module: nn.Module) -> None:
        del module
        seen.extend(len(images) for images in batches)

    monkeypatch.setattr(network_copy, "update_bn", spy)
    run_here(make_run(**ARMS, average_batchnorm="reestimate", eval_batch_size=10))
    assert set(seen) == {9}, "three of each of three sources"


def test_a_backbone_that_is_tuned_linearly_keeps_its_statistics(make_run: MakeRun) -> None:
    run_dir = make_run(
        **ARMS, average_batchnorm="reestimate", tuning="linear", steps=8,
        model="tf_efficientnet_lite0",
    )  # fmt: skip
    run_here(run_dir)
    ours, theirs = (
        load_file(run_dir.checkpoints / "averaged.safetensors"),
        load_file(run_dir.best_checkpoint),
    )
    for name, tensor in ours.items():
        if name.endswith(("running_mean", "running_var")):
            assert torch.allclose(tensor, theirs[name], atol=1e-6)


@pytest.mark.parametrize(
    ("keep", "left"),
    [("all", {"averaged", "best", "last"}), ("best", {"averaged", "best"}), ("none", set())],
)
def test_a_finished_run_leaves_the_checkpoints_that_were_asked_for(
    make_run: MakeRun, keep: str, left: set[str]
) -> None:
    run_dir = make_run(**ARMS, keep_checkpoints=keep)
    run_here(run_dir)
    assert isinstance(read_events(run_dir)[-1], RunFinished)
    assert {path.stem for path in run_dir.checkpoints.iterdir()} == left
