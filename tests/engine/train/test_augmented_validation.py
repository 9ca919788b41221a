"""Runs whose validation images are augmented: what selects, what is kept, and what stays."""

from __future__ import annotations

import pytest
import torch
from msgspec.structs import replace
from safetensors.torch import load_file

from engine.data import load_data
from engine.protocol import AUGMENTED, ArmEvaluated, Evaluated, Metric, RunFinished, RunStopped
from engine.rundir import RunDir
from engine.rundir.event_log import EventLog
from engine.train import fine_tune, load_last
from tests.small_runs import MakeRun, StopAfter, read_events, run_here

ARMS = {
    "arms": ["averaged", "ensemble"], "steps": 12, "eval_every": 4, "warmup_steps": 0, "lr": 3e-3,
    "validation_fraction": 0.5,
}  # fmt: skip
TARGET = "fluent-mono"


def evaluations(run_dir: RunDir) -> list[Evaluated | ArmEvaluated]:
    return [each for each in read_events(run_dir) if isinstance(each, Evaluated | ArmEvaluated)]


def accuracies(metrics: list[Metric], split: str) -> dict[str, float | None]:
    return {m.domain: m.value for m in metrics if (m.split, m.name) == (split, "accuracy")}


def mean_of(values: dict[str, float | None]) -> float:
    known = [value for value in values.values() if value is not None]
    return sum(known) / len(known)


@pytest.mark.parametrize("transforms", ["batch", "pil"])
def test_the_augmented_images_of_the_sources_select(make_run: MakeRun, transforms: str) -> None:
    run_dir = make_run(**ARMS, augment_validation=True, transforms=transforms)
    run_here(run_dir)
    found = evaluations(run_dir)
    sources = accuracies(found[0].metrics, AUGMENTED).keys()
    assert len(sources) == 3
    assert TARGET not in sources
    for each in found:
        assert each.id_accuracy == pytest.approx(mean_of(accuracies(each.metrics, AUGMENTED)))
        plain = {name: accuracies(each.metrics, "out")[name] for name in sources}
        assert each.plain_id_accuracy == pytest.approx(mean_of(plain))
    own = [each for each in found if isinstance(each, Evaluated)]
    best = max(own, key=lambda each: (each.id_accuracy, -each.step))
    end = read_events(run_dir)[-1]
    assert isinstance(end, RunFinished)
    assert (end.selected_step, end.id_accuracy) == (best.step, best.id_accuracy)
    assert end.plain_id_accuracy == best.plain_id_accuracy
    assert any(each.id_accuracy != each.plain_id_accuracy for each in found)


def test_all_but_the_selection_is_that_of_the_run_without(make_run: MakeRun) -> None:
    plain, augmented = make_run("plain", **ARMS), make_run("aug", **ARMS, augment_validation=True)
    run_here(plain)
    run_here(augmented)
    ours, theirs = (load_file(each.last_checkpoint) for each in (plain, augmented))
    shared = [name for name in ours if "ensemble" not in name]
    assert all(torch.equal(ours[name], theirs[name]) for name in shared)
    for one, other in zip(evaluations(plain), evaluations(augmented), strict=True):
        assert one.metrics == [each for each in other.metrics if each.split != AUGMENTED]
        assert (one.plain_id_accuracy, other.plain_id_accuracy) == (None, one.id_accuracy)
    predictions = augmented.read_predictions()
    assert predictions is not None
    assert {each.split for each in predictions.domains} == {"in", "out"}


def test_other_arms_see_the_draws_of_the_step(make_run: MakeRun) -> None:
    """An average, or an ensemble, of one network is that network, on the same images."""
    fields = {**ARMS, "steps": 4, "average_from": 4}
    run_dir = make_run(**fields, augment_validation=True)
    run_here(run_dir)
    own, *arms = [each for each in evaluations(run_dir) if each.step == 4]
    assert len(arms) == 2
    for arm in arms:
        assert [each.value for each in arm.metrics] == pytest.approx(
            [each.value for each in own.metrics], rel=1e-5
        )


def test_a_resumed_run_draws_what_the_undisturbed_one_did(make_run: MakeRun) -> None:
    whole, parts = (make_run(name, **ARMS, augment_validation=True) for name in ("whole", "parts"))
    run_here(whole)
    spec, log = parts.read_spec(), EventLog(parts.events)
    data = load_data(spec, parts.cache)
    stopped = fine_tune(spec, data, parts, None, log, StopAfter(20))
    assert isinstance(stopped, RunStopped)
    assert 4 < stopped.step < 12
    checkpoint = load_last(parts.last_checkpoint)
    log.record(fine_tune(spec, data, parts, checkpoint, log, StopAfter(1000)))
    log.close()
    assert [replace(each, seq=0, time=0.0, wall_s=0.0) for each in evaluations(parts)] == [
        replace(each, seq=0, time=0.0, wall_s=0.0) for each in evaluations(whole)
    ]
