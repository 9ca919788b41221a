"""How a run went, from its log and its curves."""

from __future__ import annotations

import numpy as np
import pytest

from engine.protocol import Evaluated, Metric, MetricKey, resolve_spec
from engine.protocol.selection import best_of
from tests.vld_tui.store.told_runs import (
    Teller,
    collapsed,
    data_prepared,
    evaluation,
    model_prepared,
    steps_taken,
)
from vld_tui.home import Home, open_home
from vld_tui.runs.curves import MOST_EVALUATIONS, Curves, Story, _evaluations, as_arrays
from vld_tui.store.store import Store


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return open_home(tmp_path_factory.mktemp("home"))


@pytest.fixture
def teller(home: Home) -> Teller:
    with Store.open(home) as store:
        return Teller(home.run_dir(store.runs.create(resolve_spec({})).run_id))


def _curves(home: Home, teller: Teller) -> Curves:
    with Store.open(home) as store:
        store.live.refresh()
        return as_arrays(store.series.all(teller.run_dir.run_id))


def test_a_story_is_told_by_the_log_and_the_curves(home: Home, teller: Teller) -> None:
    teller.starts()
    teller.says(data_prepared(), model_prepared(), steps_taken(10, 1.5))
    teller.says(evaluation(10, id_accuracy=0.8, ood_accuracy=0.5))
    told = Story(teller.run_dir)
    progress = told.progress(_curves(home, teller), MetricKey.id("dropout"))
    assert progress.data is not None
    assert progress.model is not None
    assert progress.latest is not None
    assert [(each.step, each.loss) for each in progress.losses] == [(10, 1.5)]
    (evaluated,) = progress.evaluations
    assert (evaluated.step, evaluated.id_accuracy, evaluated.ood_accuracy) == (10, 0.8, 0.5)
    values = {(each.split, each.domain, each.name): each.value for each in evaluated.metrics}
    assert values["in", "fluent-mono", "accuracy"] == 0.5
    assert values["out", "noto", "loss"] is None
    teller.says(collapsed(12), evaluation(20, id_accuracy=0.7, ood_accuracy=0.6, is_best=False))
    progress = told.progress(_curves(home, teller), MetricKey.id("dropout"))
    assert progress.collapse is not None
    assert [each.is_best for each in progress.evaluations] == [True, False]
    assert progress.selected is not None
    assert progress.selected.step == 10


def test_a_line_that_is_not_complete_yet_waits(home: Home, teller: Teller) -> None:
    teller.starts()
    line = teller.run_dir.events.read_bytes()
    teller.writes(line[:20])
    told = Story(teller.run_dir)
    assert told.progress({}, MetricKey.id("dropout")).started is not None
    teller.writes(b"\nnot an event\n")
    teller.says(data_prepared())
    assert told.progress({}, MetricKey.id("dropout")).data is not None


def test_a_log_that_is_gone_or_begun_anew_is_no_trouble(home: Home, teller: Teller) -> None:
    told = Story(teller.run_dir)
    assert told.progress({}, MetricKey.id("dropout")).started is None
    teller.starts()
    teller.says(data_prepared(), collapsed(5))
    assert told.progress({}, MetricKey.id("dropout")).collapse is not None
    teller.run_dir.events.unlink()
    teller.starts()
    assert told.progress({}, MetricKey.id("dropout")).collapse is None


def test_the_end_of_a_long_log_is_read_at_last(
    home: Home, teller: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vld_tui.runs.curves.BLOCK_BYTES", 4096)
    monkeypatch.setattr("vld_tui.runs.curves.DRAWING_S", 0.0)
    teller.starts()
    teller.says(data_prepared(), *(steps_taken(step, 1.0) for step in range(100)), collapsed(99))
    told = Story(teller.run_dir)
    progress = told.progress({}, MetricKey.id("dropout"))
    assert progress.data is not None
    assert progress.collapse is None
    assert told.is_behind
    assert told.progress({}, MetricKey.id("dropout")).collapse is not None
    assert not told.is_behind


def test_many_evaluations_are_thinned_out_but_for_the_best_and_the_last() -> None:
    steps = np.arange(5000.0)
    accuracies = np.full(5000, 0.5)
    accuracies[1234] = 0.9
    curves = {
        MetricKey.id("dropout"): (steps, accuracies),
        MetricKey.ood("dropout"): (steps, accuracies / 2),
    }
    evaluations = _evaluations(curves, MetricKey.id("dropout"))
    assert len(evaluations) <= MOST_EVALUATIONS + 1
    chosen = [each.step for each in evaluations]
    assert chosen == sorted(chosen)
    assert {0, 1234, 4999} <= set(chosen)


@pytest.mark.parametrize("split", ["out", "out_augmented"])
def test_the_best_of_many_is_by_the_measure_that_selects(split: str) -> None:
    steps = np.arange(5000.0)
    scores = np.full(5000, 0.5)
    scores[1234] = 0.9
    score = MetricKey("balanced_accuracy", split, "", "dropout")
    curves = {MetricKey.id("dropout"): (steps, np.linspace(0, 1, 5000)), score: (steps, scores)}
    evaluations = _evaluations(curves, score)
    best = best_of(evaluations)
    assert best is not None
    assert (best.step, best.selection_score) == (1234, 0.9)
    assert [each.step for each in evaluations if each.is_best] == [0, 1234]


def test_what_an_attempt_reached_is_not_told_of_the_next_one(home: Home, teller: Teller) -> None:
    teller.starts()
    teller.says(data_prepared(), steps_taken(150, 1.0))
    told = Story(teller.run_dir)
    latest = told.progress({}, MetricKey.id("dropout")).latest
    assert latest is not None
    assert latest.step == 150
    for both in (told, Story(teller.run_dir)):
        if both is told:
            teller.starts(attempt=2, resumed_step=10)
        progress = both.progress({}, MetricKey.id("dropout"))
        assert progress.latest is None
        assert progress.step == 10


def test_domains_called_as_the_means_do_not_hide_them(home: Home, teller: Teller) -> None:
    teller.starts()
    metrics = [Metric("out", "id", "dropout", "accuracy", 0.1),
               Metric("in", "ood", "dropout", "accuracy", 0.2)]  # fmt: skip
    teller.says(
        Evaluated(step=10, metrics=metrics, id_accuracy=0.8, ood_accuracy=0.5, is_best=True,
                  wall_s=1.0)
    )  # fmt: skip
    curves = _curves(home, teller)
    assert curves[MetricKey.id("dropout")][1].tolist() == [0.8]
    assert curves[MetricKey.ood("dropout")][1].tolist() == [0.5]
