"""The selected step in history is the engine's, whatever measure selects it."""

from __future__ import annotations

import msgspec
import pytest

from engine.protocol import ArmEvaluated, Evaluated, resolve_spec
from tests.vld_tui.store.told_runs import (
    Teller,
    arm_evaluated,
    data_prepared,
    evaluation,
    finished,
    started,
)
from vld_tui.home import Home
from vld_tui.runs.run import Run
from vld_tui.store.store import Store

ACCURACIES = {10: (0.9, 0.3), 20: (0.5, 0.6), 30: (0.7, 0.6), 40: (0.6, 0.8)}
"""ID accuracy and ID balanced accuracy by step."""


def scored(event: Evaluated | ArmEvaluated, *, augmented: bool) -> Evaluated | ArmEvaluated:
    score = ACCURACIES[event.step][1]
    plain = 1 - score if augmented else score
    is_best = all(score > other for step, (_, other) in ACCURACIES.items() if step < event.step)
    return msgspec.structs.replace(
        event, selection_score=score, is_best=is_best, measures={"balanced_accuracy": (plain, 0.5)}
    )


def evaluations(steps: list[int], *, augmented: bool) -> list[Evaluated | ArmEvaluated]:
    return [
        scored(event, augmented=augmented)
        for step in steps
        for event in (
            evaluation(step, id_accuracy=ACCURACIES[step][0], ood_accuracy=step / 100),
            arm_evaluated(step, "averaged", id_accuracy=ACCURACIES[step][0], ood_accuracy=0.1),
        )
    ]


def selected(store: Store, run: Run) -> tuple[object, ...]:
    seen = store.runs.get(run.run_id)
    (arm,) = store.series.arms([run.run_id])[run.run_id]
    return seen.selected_step, seen.id_accuracy, seen.ood_accuracy, arm.selected_step


@pytest.mark.parametrize("augmented", [False, True])
def test_history_follows_the_measure_of_the_run(store: Store, home: Home, augmented: bool) -> None:
    spec = {"steps": 40, "select_on": "balanced", "augment_validation": augmented}
    run = store.runs.create(resolve_spec(spec))
    teller = Teller(home.run_dir(run.run_id))
    teller.starts()
    teller.says(data_prepared(), *evaluations([10, 20], augmented=augmented))
    store.live.refresh()
    assert selected(store, run) == (20, 0.5, 0.2, 20)
    teller.says(*evaluations([30, 40], augmented=augmented))
    store.live.refresh()
    assert selected(store, run) == (40, 0.6, 0.4, 40)
    teller.says(started(2, resumed_step=30))
    store.live.refresh()
    assert selected(store, run) == (20, 0.5, 0.2, 20), "the earliest of equals up to step 30"
    teller.says(*evaluations([40], augmented=augmented))
    teller.says(finished(40, selected_step=40, id_accuracy=0.6, ood_accuracy=0.4))
    store.folders.rebuild()
    assert selected(store, run) == (40, 0.6, 0.4, 40)


def test_a_later_read_knows_the_score_of_the_selected_step(store: Store, home: Home) -> None:
    """Here every evaluation claims to be the best."""
    run = store.runs.create(resolve_spec({"steps": 40, "select_on": "balanced"}))
    teller = Teller(home.run_dir(run.run_id))
    teller.starts()
    for step in (10, 20, 30):
        teller.says(
            *(
                msgspec.structs.replace(each, is_best=True)
                for each in evaluations([step], augmented=False)
            )
        )
        store.live.refresh()
    assert selected(store, run) == (20, 0.5, 0.2, 20)
