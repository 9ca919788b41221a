"""Long series: they are kept in rows of many points, and read as if each had its own."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.protocol import resolve_spec
from tests.vld_tui.store.told_runs import (
    Teller,
    data_prepared,
    evaluation,
    finished,
    started,
    steps_taken,
)
from vld_tui.home import Home, open_home
from vld_tui.runs.run import Run
from vld_tui.store.series import CHUNK
from vld_tui.store.store import Store

LONG = 2 * CHUNK + 88


def _losses(store: Store, run: Run) -> list[tuple[int, float | None]]:
    store.live.refresh()
    return [(point.step, point.value) for point in store.series.metrics(run.run_id, name="loss")]


def _told(steps: range, loss: float) -> list[tuple[int, float | None]]:
    return [(step, loss + step) for step in steps]


@pytest.mark.parametrize("batch", [1, 50, CHUNK, LONG])
def test_what_is_read_does_not_depend_on_how_it_was_told(
    store: Store, run: Run, teller: Teller, batch: int
) -> None:
    teller.starts()
    for first in range(0, LONG, batch):
        steps = range(first, min(LONG, first + batch))
        teller.says(*(steps_taken(step, 1.0 + step) for step in steps))
        if batch > 1:
            store.live.refresh()
    assert _losses(store, run) == _told(range(LONG), 1.0)


@pytest.mark.parametrize("kept", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, LONG])
def test_a_resumed_run_says_again_what_came_after_its_checkpoint(
    store: Store, run: Run, teller: Teller, kept: int
) -> None:
    teller.starts()
    teller.says(*(steps_taken(step, 1.0 + step) for step in range(LONG)))
    store.live.refresh()
    teller.says(started(2, resumed_step=kept))
    known = range(min(LONG, kept + 1))
    assert _losses(store, run) == _told(known, 1.0)
    again = range(kept + 1, kept + LONG)
    teller.says(*(steps_taken(step, 2.0 + step) for step in again))
    assert _losses(store, run) == _told(known, 1.0) + _told(again, 2.0)


def test_a_step_that_is_reported_again_has_its_last_value_only(
    store: Store, run: Run, teller: Teller
) -> None:
    teller.starts()
    teller.says(steps_taken(1, 1.0), steps_taken(2, 2.0))
    store.live.refresh()
    teller.says(steps_taken(2, 5.0), steps_taken(3, 3.0))
    assert _losses(store, run) == [(1, 1.0), (2, 5.0), (3, 3.0)]


def test_a_run_that_starts_over_forgets_everything(store: Store, run: Run, teller: Teller) -> None:
    teller.starts()
    teller.says(*(steps_taken(step, 1.0 + step) for step in range(1, LONG)))
    store.live.refresh()
    teller.says(started(2), steps_taken(5, 7.0))
    assert _losses(store, run) == [(5, 7.0)]


@given(st.lists(st.integers(0, 3 * CHUNK), max_size=60), st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_the_last_value_told_for_a_step_counts(steps: list[int], seed: int) -> None:
    chance = random.Random(seed)
    expected: dict[int, float] = {step: float(step) for step in range(0, 3 * CHUNK, 2)}
    with tempfile.TemporaryDirectory() as folder:  # a fixture would outlive the example
        home = open_home(Path(folder))
        with Store.open(home) as store:
            run = store.runs.create(resolve_spec({}))
            teller = Teller(home.run_dir(run.run_id))
            teller.starts()
            teller.says(*(steps_taken(step, loss) for step, loss in expected.items()))
            store.live.refresh()
            for step in steps:
                expected[step] = chance.random()
                teller.says(steps_taken(step, expected[step]))
                if chance.random() < 0.2:
                    store.live.refresh()
            assert _losses(store, run) == sorted(expected.items())


def test_the_accuracies_at_a_selected_step_of_long_ago_are_found(
    store: Store, run: Run, teller: Teller
) -> None:
    teller.starts()
    teller.says(data_prepared())
    for step in range(1, LONG):
        accuracy = step / LONG
        teller.says(
            evaluation(step, id_accuracy=accuracy, ood_accuracy=accuracy / 2, is_best=False)
        )
    store.live.refresh()
    teller.says(finished(LONG, selected_step=300, id_accuracy=300 / LONG, ood_accuracy=150 / LONG))
    store.live.refresh()
    seen = store.runs.get(run.run_id)
    assert seen.domains == {
        "noto": 300 / LONG, "twemoji": 300 / LONG, "fluent-mono": 150 / LONG
    }  # fmt: skip
    at_selected = store.series.metrics(run.run_id, name="accuracy", split="out", step=300)
    assert {point.domain: point.value for point in at_selected} == {
        "id": 300 / LONG, "noto": 300 / LONG, "twemoji": 300 / LONG, "fluent-mono": 75 / LONG,
    }  # fmt: skip


def test_a_long_history_is_thinned_out(store: Store, run: Run, teller: Teller) -> None:
    teller.starts()
    teller.says(
        *(
            evaluation(step, id_accuracy=0.5, ood_accuracy=step / 5000, is_best=False)
            for step in range(2000)
        )
    )
    store.live.refresh()
    history = store.series.ood_histories([run.run_id])[run.run_id]
    assert 256 <= len(history) <= 512
    assert history[0] == 0
    assert list(history) == sorted(history)


def test_deleting_a_run_deletes_its_series(store: Store, run: Run, home: Home) -> None:
    Teller(home.run_dir(run.run_id)).says(started(), steps_taken(1, 1.0))
    store.live.refresh()
    assert store.health()["metric_points"] == 1
    store.trash.discard(run.run_id)
    assert store.health()["metric_points"] == 0
