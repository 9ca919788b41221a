"""When one predicted class is a collapse."""

from __future__ import annotations

import math

import pytest
import torch

from engine.evaluate import Evaluation
from engine.protocol import CollapseDetected, Evaluated, RunSpec, evaluation_steps, resolve_spec
from engine.train.collapse import has_collapsed, has_learned, judge_collapse
from tests.small_runs import MakeRun, read_events, run_here

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
