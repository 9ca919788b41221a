"""SWAD in real small runs."""

from __future__ import annotations

import msgspec
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from engine.arms.swad import Swad
from engine.inference.classifier import load_classifier
from engine.protocol import (
    ArmEvaluated,
    Cautioned,
    CheckpointSaved,
    Evaluated,
    RunFinished,
    SpecError,
    resolve_spec,
    run_identity,
)
from engine.rundir import RunDir
from engine.train.checkpoint import load_last
from tests.engine.arms.test_loss_valley import by_the_authors
from tests.small_runs import MakeRun, read_events, run_here, stop_here

FEW = {"steps": 24, "eval_every": 2, "warmup_steps": 0, "lr": 3e-3, "log_every": 12,
       "head_steps": 0}  # fmt: skip
SWAD = {**FEW, "arms": ["swad"]}


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[int, dict[str, Tensor]]:
    """Return the run's own weights after every step, as they are during the run."""
    found: dict[int, dict[str, Tensor]] = {}
    real = Swad.after_step

    def spy(arm: Swad, updates: int) -> None:
        state = arm._sum.running.state_dict()
        found[updates] = {name: tensor.clone() for name, tensor in state.items()}
        real(arm, updates)

    monkeypatch.setattr(Swad, "after_step", spy)
    return found


def of_arm(run_dir: RunDir) -> list[ArmEvaluated]:
    return [each for each in read_events(run_dir) if isinstance(each, ArmEvaluated)]


def validation_losses(run_dir: RunDir, split: str = "out") -> dict[int, float]:
    """Return the mean loss over the sources at each evaluation, from the events."""
    found = {}
    for event in read_events(run_dir):
        if isinstance(event, Evaluated) and event.step > 0:
            losses = [metric.value for metric in event.metrics
                      if metric.name == "loss" and metric.split == split
                      and metric.domain != "fluent-mono"]  # fmt: skip
            assert losses
            found[event.step] = sum(loss or 0.0 for loss in losses) / len(losses)
    return found


@pytest.mark.parametrize(
    ("fields", "split"),
    [
        ({"swad_ratio": 1.05}, "out"),
        ({"swad_converge": 2, "swad_tolerance": 2, "swad_ratio": 1.0, "lr": 0.02}, "out"),
        ({"augment_validation": True, "eval_every": 3, "steps": 25}, "out_augmented"),
    ],
    ids=["paper", "short valley", "augmented, and a short last segment"],
)
def test_the_network_is_the_float64_mean_of_its_segments(
    make_run: MakeRun, seen: dict[int, dict[str, Tensor]], fields: dict[str, object], split: str
) -> None:
    run_dir = make_run(**{**SWAD, **fields})
    run_here(run_dir)
    spec = run_dir.read_spec()
    losses = validation_losses(run_dir, split)
    counts, begun, _ = by_the_authors(
        list(losses.values()), spec.swad_converge, spec.swad_tolerance, spec.swad_ratio
    )
    assert begun is not None
    ends = [0, *losses]
    saved = load_file(run_dir.checkpoints / "swad.safetensors")
    for name, tensor in saved.items():
        if not tensor.is_floating_point():
            assert torch.equal(tensor, seen[spec.steps][name])
            continue
        mean = torch.zeros_like(tensor, dtype=torch.float64)
        for at, count in counts.items():
            steps = range(ends[at] + 1, ends[at + 1] + 1)
            weights = torch.stack([seen[step][name].double() for step in steps])
            mean += count / counts.total() * weights.mean(dim=0)
        assert float((mean - tensor.double()).abs().max()) <= 1e-6, name


def test_there_is_one_network_at_the_end_that_is_used_like_any_other(make_run: MakeRun) -> None:
    plain, run_dir = make_run("plain", **FEW), make_run("swad", **SWAD)
    run_here(plain)
    run_here(run_dir)
    (found,) = of_arm(run_dir)
    assert (found.step, found.arm, found.is_best) == (24, "swad", True)
    assert {metric.arm for metric in found.metrics} == {"swad"}
    saved = [each for each in read_events(run_dir) if isinstance(each, CheckpointSaved)]
    assert [each.step for each in saved if each.kind == "swad"] == [24]
    own, theirs = (
        [each.metrics for each in read_events(folder) if isinstance(each, Evaluated)]
        for folder in (plain, run_dir)
    )
    assert own == theirs, "the arm leaves the run alone"
    network = load_classifier(run_dir, arm="swad").networks[0].module
    weights = load_file(run_dir.checkpoints / "swad.safetensors")
    assert all(torch.equal(weights[name], each) for name, each in network.state_dict().items())


def test_without_a_valley_the_last_segment_is_averaged_with_a_caution(
    make_run: MakeRun, seen: dict[int, dict[str, Tensor]]
) -> None:
    run_dir = make_run(**{**SWAD, "steps": 12, "eval_every": 4, "lr": 1e-5})
    run_here(run_dir)
    losses = list(validation_losses(run_dir).values())
    assert losses[0] > min(losses)
    cautions = [each.message for each in read_events(run_dir) if isinstance(each, Cautioned)]
    assert [each for each in cautions if "averages only the last 4 steps" in each]
    saved = load_file(run_dir.checkpoints / "swad.safetensors")
    weights = [seen[step]["fc.weight"].double() for step in (9, 10, 11, 12)]
    assert torch.allclose(saved["fc.weight"].double(), torch.stack(weights).mean(0), atol=1e-6)


@pytest.mark.parametrize("at", [5, 13])
def test_stopped_and_resumed_it_is_the_run_never_interrupted(make_run: MakeRun, at: int) -> None:
    whole, parts = (make_run(name, **SWAD, swad_ratio=1.0) for name in ("whole", "parts"))
    run_here(whole)
    stop_here(parts, at)
    run_here(parts)
    ours, theirs = (load_last(each.last_checkpoint) for each in (parts, whole))
    assert ours is not None
    assert theirs is not None
    assert ours.tensors.keys() == theirs.tensors.keys()
    assert any(name.startswith("arms.swad.valley.sum.") for name in ours.tensors)
    for name, tensor in theirs.tensors.items():
        assert torch.equal(tensor, ours.tensors[name]), name
    assert [each.metrics for each in of_arm(parts)] == [each.metrics for each in of_arm(whole)]


def test_batchnorm_that_trains_is_estimated_again(make_run: MakeRun) -> None:
    fields = {**SWAD, "freeze_batchnorm": False, "steps": 8}
    run_dir, other = make_run("one", **fields), make_run("other", **fields, eval_batch_size=10)
    run_here(run_dir)
    run_here(other)
    one, two = (load_file(each.checkpoints / "swad.safetensors") for each in (run_dir, other))
    statistics = [name for name in one if name.endswith("running_mean")]
    assert statistics
    assert not any(torch.equal(one[name], two[name]) for name in statistics)
    assert torch.allclose(one["fc.weight"], two["fc.weight"], atol=1e-4)


def test_a_run_with_fewer_evaluations_than_the_rule_needs_is_refused() -> None:
    fields = {"arms": ["swad"], "steps": 100, "eval_every": 50}
    with pytest.raises(SpecError, match=r"swad, which needs 3 evaluations .* has 2\. Lower"):
        resolve_spec(fields)
    resolve_spec({**fields, "swad_converge": 2})
    resolve_spec({**fields, "eval_every": 34})


def test_its_settings_are_part_of_the_identity_of_runs_with_the_arm() -> None:
    plain, swad = resolve_spec({}), resolve_spec({"arms": ["swad"]})
    for name, value in (("swad_converge", 2), ("swad_tolerance", 5), ("swad_ratio", 1.2)):
        assert run_identity(msgspec.structs.replace(plain, **{name: value})) == run_identity(plain)
        assert run_identity(msgspec.structs.replace(swad, **{name: value})) != run_identity(swad)
    free = msgspec.structs.replace(swad, freeze_batchnorm=False)
    for spec, is_same in ((swad, True), (free, False)):
        other = msgspec.structs.replace(spec, eval_batch_size=8)
        assert (run_identity(other) == run_identity(spec)) is is_same


def test_a_linear_run_averages_what_it_trains(make_run: MakeRun) -> None:
    run_dir = make_run(
        **{**SWAD, "steps": 8}, tuning="linear", model="tf_efficientnet_lite0", target="none"
    )
    run_here(run_dir)
    assert isinstance(read_events(run_dir)[-1], RunFinished)
    (found,) = of_arm(run_dir)
    assert found.ood_accuracy is None
    last = load_last(run_dir.last_checkpoint)
    assert last is not None
    kept = [name for name in last.tensors if name.startswith("arms.swad.segment.")]
    assert not any("backbone" in name for name in kept)
