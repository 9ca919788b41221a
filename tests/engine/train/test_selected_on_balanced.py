"""Runs that select their step on class-balanced accuracy, and draw class-balanced batches."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from safetensors.torch import load_file

from engine.protocol import AUGMENTED, ArmEvaluated, Evaluated, HeadTrained, RunFinished
from engine.protocol.selection import best_of
from engine.rundir import RunDir
from engine.train.checkpoint import decode_state
from tests.small_runs import MakeRun, read_events, run_here, stop_here

BALANCED = {
    "select_on": "balanced",
    "sampling": "balanced",
    "steps": 12,
    "warmup_steps": 2,
    "eval_every": 2,
    "arms": ["averaged", "ensemble"],
    "validation_fraction": 0.4,
}
Judged = Evaluated | ArmEvaluated


def by_arm(run_dir: RunDir) -> dict[str, list[Judged]]:
    found: dict[str, list[Judged]] = {}
    for event in read_events(run_dir):
        if isinstance(event, Judged):
            arm = event.arm if isinstance(event, ArmEvaluated) else "own"
            found.setdefault(arm, []).append(event)
    return found


def mean_balanced(event: Judged, split: str) -> float:
    values = [
        each.value or 0.0
        for each in event.metrics
        if (each.name, each.split) == ("balanced_accuracy", split) and each.domain != "fluent-mono"
    ]
    return sum(values) / len(values)


def firsts_above_all(values: Iterable[float]) -> list[bool]:
    best, found = -1.0, []
    for value in values:
        found.append(value > best)
        best = max(best, value)
    return found


@pytest.mark.parametrize("augmented", [False, True])
def test_each_arm_selects_the_step_of_the_best_id_balanced_accuracy(
    make_run: MakeRun, augmented: bool
) -> None:
    run_dir = make_run(**BALANCED, augment_validation=augmented)
    run_here(run_dir)
    differs = False
    for evaluations in by_arm(run_dir).values():
        scores = [mean_balanced(each, AUGMENTED if augmented else "out") for each in evaluations]
        assert [each.selection_score for each in evaluations] == pytest.approx(scores)
        assert [each.is_best for each in evaluations] == firsts_above_all(scores)
        of_accuracy = firsts_above_all(each.id_accuracy for each in evaluations)
        differs |= of_accuracy != firsts_above_all(scores)
    assert differs, "accuracy would have selected other steps"
    own = [each for each in by_arm(run_dir)["own"] if isinstance(each, Evaluated)]
    best, end = best_of(own), read_events(run_dir)[-1]
    assert isinstance(end, RunFinished)
    assert best is not None
    assert (end.selected_step, end.id_accuracy) == (best.step, best.id_accuracy)


def test_a_resumed_run_selects_and_draws_as_an_undisturbed_one(make_run: MakeRun) -> None:
    whole, parts = (make_run(name, **BALANCED) for name in ("whole", "parts"))
    run_here(whole)
    stop_here(parts, 17)  # 10 of them while the last layer trains
    assert not isinstance(read_events(parts)[-1], RunFinished)
    run_here(parts)
    scores = [
        {
            (arm, each.step): (each.selection_score, each.is_best)
            for arm, evaluations in by_arm(run_dir).items()
            for each in evaluations
        }
        for run_dir in (whole, parts)
    ]
    assert scores[0] == scores[1]
    ours, theirs = load_file(parts.last_checkpoint), load_file(whole.last_checkpoint)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_the_last_layer_is_trained_on_balanced_batches_too(make_run: MakeRun) -> None:
    losses = []
    for sampling in ("uniform", "balanced"):
        run_dir = make_run(sampling, steps=1, eval_every=1, sampling=sampling)
        run_here(run_dir)
        losses += [each.loss for each in read_events(run_dir) if isinstance(each, HeadTrained)]
    assert len(set(losses)) == 2


def test_a_checkpoint_of_an_earlier_version_selects_on_accuracy() -> None:
    state = decode_state(
        b'{"step": 4, "selected": {"step": 2, "id_accuracy": 0.5, "ood_accuracy": null}, '
        b'"feature_rms": 1.0, "data_digest": "", "precision": "fp32", '
        b'"memory_format": "contiguous"}'
    )
    assert state.selected is not None
    assert state.selected.selection_score is None
