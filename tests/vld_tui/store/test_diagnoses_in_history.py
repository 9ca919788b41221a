"""The measures of diagnostics in history: stored at the selected step, found and rebuilt."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.protocol import MetricKey
from engine.rundir import RunDir
from tests.made_diagnoses import make_diagnosis
from tests.vld_tui.store.told_runs import TARGET, Teller, evaluated, finished, started
from vld_tui.home import Home
from vld_tui.runs.run import Run
from vld_tui.store.store import Store


@pytest.fixture
def run_dir(home: Home, run: Run, teller: Teller, store: Store) -> RunDir:
    teller.finishes()
    store.live.refresh()
    return home.run_dir(run.run_id)


def test_a_diagnosed_run_has_the_measures_next_to_those_of_its_evaluation(
    store: Store, run: Run, run_dir: RunDir
) -> None:
    before = store.runs.get(run.run_id)
    run_dir.write_diagnosis(make_diagnosis(12.5, 30.0, target=TARGET))
    after = store.live.read_diagnoses(run.run_id)
    assert after.measures == {**before.measures, "rank_me": (12.5, 30.0)}
    assert (after.selected_step, after.id_accuracy) == (before.selected_step, before.id_accuracy)
    values = {key: points.at(0) for key, points in store.series.all(run.run_id, name="rank_me")}
    assert values == {
        MetricKey.id("dropout", "rank_me"): 12.5,
        MetricKey.ood("dropout", "rank_me"): 30.0,
        MetricKey("rank_me", "out", "noto", "dropout"): 12.5,
        MetricKey("rank_me", "in", TARGET, "dropout"): 30.0,
    }


def test_a_run_that_diagnosed_itself_has_the_measures_when_it_ends(
    home: Home, store: Store, run: Run, teller: Teller
) -> None:
    home.run_dir(run.run_id).write_diagnosis(make_diagnosis(12.5, 30.0, target=TARGET))
    teller.finishes()
    store.live.refresh()
    assert store.runs.get(run.run_id).measures["rank_me"] == (12.5, 30.0)


def test_runs_are_found_and_sorted_by_a_number_above_one(
    store: Store, run: Run, run_dir: RunDir
) -> None:
    run_dir.write_diagnosis(make_diagnosis(12.5, 30.0, target=TARGET))
    store.live.read_diagnoses(run.run_id)
    assert [each.run_id for each in store.runs.find(store.runs.query("ood_rankme>29"))] == [
        run.run_id
    ]
    assert store.runs.find(store.runs.query("ood_rank_me>31")) == []
    assert store.runs.find(store.runs.query("", sort="-id_rank_me"))[0].run_id == run.run_id


def test_reading_again_replaces_the_values(store: Store, run: Run, run_dir: RunDir) -> None:
    run_dir.write_diagnosis(make_diagnosis(12.5, 30.0, target=TARGET))
    store.live.read_diagnoses(run.run_id)
    run_dir.write_diagnosis(make_diagnosis(None, 31.0, target=TARGET))
    assert store.live.read_diagnoses(run.run_id).measures["rank_me"] == (None, 31.0)


def test_a_diagnosis_of_another_step_is_not_the_run_s(
    store: Store, run: Run, run_dir: RunDir
) -> None:
    run_dir.write_diagnosis(make_diagnosis(12.5, 30.0, step=20, target=TARGET))
    assert "rank_me" not in store.live.read_diagnoses(run.run_id).measures


def test_a_rebuilt_history_has_the_measures_again(
    store: Store, run: Run, run_dir: RunDir, home: Home
) -> None:
    run_dir.write_diagnosis(make_diagnosis(12.5, 30.0, target=TARGET))
    known = store.live.read_diagnoses(run.run_id)
    store.close()
    for path in home.path.glob("vld.db*"):
        path.unlink()
    with Store.open(home) as rebuilt:
        rebuilt.folders.rebuild()
        assert rebuilt.runs.get(run.run_id).measures == known.measures


def test_a_resumed_run_that_selects_another_step_loses_them(
    store: Store, run: Run, run_dir: RunDir, teller: Teller
) -> None:
    run_dir.write_diagnosis(make_diagnosis(12.5, 30.0, target=TARGET))
    store.live.read_diagnoses(run.run_id)
    store.live.mark_relaunched(run.run_id)
    teller.says(
        started(2, resumed_step=20),
        *evaluated(30, id_accuracy=0.9, ood_accuracy=0.6),
        finished(30, selected_step=30, id_accuracy=0.9, ood_accuracy=0.6),
    )
    store.live.refresh()
    assert "rank_me" not in store.runs.get(run.run_id).measures


def test_a_damaged_result_is_left_out(store: Store, run: Run, run_dir: RunDir) -> None:
    path = run_dir.write_diagnosis(make_diagnosis(12.5, 30.0, target=TARGET))
    Path(path).write_bytes(b"{")
    assert "rank_me" not in store.live.read_diagnoses(run.run_id).measures
    assert set(run_dir.read_diagnoses().damaged) == {"rank"}
