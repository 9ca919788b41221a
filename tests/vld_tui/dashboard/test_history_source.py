"""Snapshots of a real history, read from real run folders."""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import replace

import numpy as np
import pytest

from engine.protocol import MetricKey, resolve_spec
from tests.vld_tui.dashboard.run_facts import make_predictions
from tests.vld_tui.store.told_runs import Teller, evaluated, finished, started, steps_taken
from vld_tui.config import NotifyConfig
from vld_tui.dashboard.feed import HistorySource, Interest, RunDetail
from vld_tui.home import Home
from vld_tui.runs.run import GroupRow, RunRow
from vld_tui.store.groups import find_grouping
from vld_tui.store.query import Query
from vld_tui.store.store import Store
from vld_tui.views.phase import activity


def _told(home: Home) -> str:
    with Store.open(home) as store:
        run = store.runs.create(resolve_spec({}))
    Teller(home.run_dir(run.run_id)).says(
        started(), steps_taken(10, 1.5), *evaluated(10, id_accuracy=0.7, ood_accuracy=0.4)
    )
    return run.run_id


def test_events_become_rows_and_curves(home: Home) -> None:
    run_id = _told(home)
    home.run_dir(run_id).log.write_text("one\ntwo\n")
    source = HistorySource(home)
    snapshot = source.take(Interest(watched=(run_id,), opened=run_id))
    (row,) = snapshot.rows
    assert isinstance(row, RunRow)
    assert (row.run.run_id, row.ood_history, snapshot.count) == (run_id, (0.4,), 1)
    (watched,) = snapshot.watched
    for key, expected in (
        (MetricKey.id("dropout"), 0.7),
        (MetricKey.ood("dropout"), 0.4),
        (MetricKey.loss("dropout"), 1.5),
    ):
        steps, values = watched.curves[key]
        assert (steps.tolist(), values.tolist()) == ([10.0], [expected])
    assert watched.log == ("one", "two")
    assert snapshot.opened is not None
    assert snapshot.opened.progress.started is not None
    again = source.take(Interest(watched=(run_id,), opened=run_id))
    assert again.watched[0] is watched
    assert again.opened is snapshot.opened
    Teller(home.run_dir(run_id)).says(steps_taken(20, 1.2))
    later = source.take(Interest(watched=(run_id,)))
    assert np.array_equal(later.watched[0].curves[MetricKey.loss("dropout")][1], [1.5, 1.2])
    source.close()


@pytest.mark.parametrize("is_by_signal", [True, False])
def test_a_run_that_was_asked_to_stop_is_stopping(home: Home, is_by_signal: bool) -> None:
    run_id = _told(home)
    stopping = {(run_id, 1)} if is_by_signal else set[tuple[str, int]]()
    if not is_by_signal:
        home.run_dir(run_id).ask_to_stop("asked from here")
    source = HistorySource(home, stopping)
    interest = Interest(watched=(run_id,), queue=True)
    snapshot = source.take(interest)
    (row,) = snapshot.rows
    assert isinstance(row, RunRow)
    assert snapshot.queue is not None
    for run in (row.run, snapshot.watched[0].run, *snapshot.queue.live):
        assert activity(run) == "stopping after the current step"
    assert source.take(interest).rows is snapshot.rows
    stopping.clear()
    home.run_dir(run_id).stop.unlink(missing_ok=True)
    (row,) = source.take(interest).rows
    assert isinstance(row, RunRow)
    assert not activity(row.run).startswith("stopping")
    source.close()


def test_of_more_runs_than_a_page_it_is_asked_in_which_fields_all_agree(home: Home) -> None:
    with Store.open(home) as store:
        for seed, rate in ((0, 0.0), (1, 0.9), (2, 0.9)):
            store.runs.create(resolve_spec({"seed": seed, "dropout_rate": rate}))
    source = HistorySource(home)
    whole = source.take(Interest(limit=1))
    assert {"dataset", "target", "model", "masks"} == whole.agreed
    part = source.take(Interest(query=Query.parse("dropout>0"), limit=1))
    assert part.agreed - whole.agreed == {"dropout_rate"}
    assert (part.count, part.runs, part.total) == (2, 2, 3)
    assert not source.take(Interest(limit=5)).agreed, "the rows themselves show it"
    source.close()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("frist", "No run has 'frist' in its id, name, tags, note, data set and target."),
        ("dataset=objects-draw", "No run has dataset 'objects-draw'. Did you mean objects-drawn"),
        ("dropout>0.99", ""),
        ("drawn", ""),
    ],
)
def test_what_a_filter_asks_that_no_run_has(home: Home, text: str, told: str) -> None:
    _told(home)
    source = HistorySource(home)
    snapshot = source.take(Interest(query=Query.parse(text)))
    assert snapshot.unmatched.startswith(told)
    assert bool(snapshot.unmatched) == bool(told)
    source.close()


def test_what_the_folder_of_the_opened_run_holds(home: Home) -> None:
    run_id = _told(home)
    run_dir = home.run_dir(run_id)
    source = HistorySource(home)
    interest = Interest(watched=(run_id,), opened=run_id)

    def opened() -> RunDetail:
        detail = source.take(interest).opened
        assert detail is not None
        return detail

    first = opened()
    assert first.contents.predictions is None
    run_dir.write_predictions(make_predictions())
    second = opened()
    assert second.contents.predictions == make_predictions()
    assert second.progress == first.progress
    run_dir.predictions.write_bytes(b"torn")
    assert opened().contents.predictions_problem is not None
    assert "predictions.json" in {each.name for each in opened().contents.files}
    Teller(run_dir).says(*evaluated(20, id_accuracy=0.8, ood_accuracy=0.5))
    assert [each.step for each in opened().progress.evaluations] == [10, 20]
    source.close()


def test_another_run_is_found_by_any_name(home: Home) -> None:
    run_id, other_id = _told(home), _told(home)
    source = HistorySource(home)
    interest = Interest(opened=run_id)
    assert source.take(interest).other is None
    for reference in (other_id, "@last"):
        other = source.take(replace(interest, other=reference)).other
        assert other is not None
        assert other.run is not None
        assert other.run.run_id == other_id
    missing = source.take(replace(interest, other="nothing")).other
    assert missing is not None
    assert missing.run is None
    assert "No run 'nothing'" in (missing.problem or "")
    source.close()


def test_a_page_of_those_that_match(home: Home) -> None:
    with Store.open(home) as store:
        for seed in range(5):
            store.runs.create(resolve_spec({"seed": seed}))
    source = HistorySource(home)
    query = Query.parse("seed<4", sort="-seed")
    snapshot = source.take(Interest(query=query, offset=1, limit=2))
    assert [row.run.seed for row in snapshot.rows if isinstance(row, RunRow)] == [2, 1]
    assert snapshot.count == 4
    source.close()


def test_a_run_deleted_while_it_is_watched_is_left_out(home: Home) -> None:
    run_id = _told(home)
    source = HistorySource(home)
    source.take(Interest(watched=(run_id,), opened=run_id))
    with Store.open(home) as store:
        store.trash.discard(run_id)
    snapshot = source.take(Interest(watched=(run_id,), opened=run_id))
    assert (snapshot.count, snapshot.watched, snapshot.opened) == (0, (), None)
    source.close()


def test_a_folder_that_is_gone_is_no_trouble(home: Home) -> None:
    run_id = _told(home)
    source = HistorySource(home)
    before = source.take(Interest(watched=(run_id,)))
    shutil.rmtree(home.run_dir(run_id).path)
    after = source.take(Interest(watched=(run_id,)))
    assert after.problem is None
    assert after.watched[0].curves.keys() == before.watched[0].curves.keys()
    source.close()


def test_the_first_list_is_not_delayed_by_the_search_for_missing_folders(home: Home) -> None:
    run_id, _other = _evaluated(home), _evaluated(home)
    with Store.open(home) as store:
        store.live.refresh()
    shutil.rmtree(home.run_dir(run_id).path)
    source = HistorySource(home)
    found = [
        {row.run.run_id: row.run.status for row in source.take(Interest()).rows
         if isinstance(row, RunRow)}[run_id]
        for _ in range(2)
    ]  # fmt: skip
    source.close()
    assert found == ["finished", "gone"]


def test_a_database_that_cannot_be_read_is_a_problem_in_words(home: Home) -> None:
    _told(home)
    source = HistorySource(home)
    assert source.take(Interest()).count == 1
    with sqlite3.connect(home.database) as connection:
        connection.execute("DROP TABLE series")
    connection.close()
    snapshot = source.take(Interest())
    assert snapshot.problem is not None
    assert "was changed by another program" in snapshot.problem
    assert len(snapshot.rows) == 1
    source.close()


def test_groups_come_as_rows_and_points_with_means(home: Home) -> None:
    with Store.open(home) as store:
        for seed, accuracy in enumerate([0.4, 0.6]):
            run = store.runs.create(resolve_spec({"seed": seed}), name=f"trial-s{seed}")
            Teller(home.run_dir(run.run_id)).says(
                started(),
                *evaluated(10, id_accuracy=0.7, ood_accuracy=accuracy),
                finished(10, selected_step=10, id_accuracy=0.7, ood_accuracy=accuracy),
            )
        store.runs.create(resolve_spec({"dropout_rate": 0.5}))
    source = HistorySource(home)
    grouping = find_grouping("configuration")
    snapshot = source.take(Interest(grouping=grouping, sort="-ood", plane=True))
    assert (snapshot.count, snapshot.runs) == (2, 3)
    first, second = snapshot.rows
    assert isinstance(first, GroupRow)
    assert (first.summary.runs, len(first.run_ids), len(second.run_ids)) == (2, 2, 1)
    (point,) = snapshot.points
    assert (point.name, point.ood_accuracy, point.dropout_rate) == ("trial ×2", 0.5, 0.9)
    source.close()


def test_groups_of_one_name_are_told_apart_on_the_page_and_in_the_plane(home: Home) -> None:
    with Store.open(home) as store:
        for steps in (20, 50):
            run = store.runs.create(resolve_spec({"steps": steps}), name="trial-s0")
            Teller(home.run_dir(run.run_id)).says(
                started(),
                *evaluated(10, id_accuracy=0.7, ood_accuracy=0.5),
                finished(10, selected_step=10, id_accuracy=0.7, ood_accuracy=0.5),
            )
    source = HistorySource(home)
    by_configuration = Interest(grouping=find_grouping("configuration"), plane=True)
    snapshot = source.take(by_configuration)
    names = [row.name for row in snapshot.rows if isinstance(row, GroupRow)]
    assert names == ["trial steps 50", "trial steps 20"]
    assert {point.name for point in snapshot.points} == {"trial steps 50 ×1", "trial steps 20 ×1"}
    (row,) = source.take(replace(by_configuration, limit=1)).rows
    assert isinstance(row, GroupRow)
    assert row.name == "trial", "nothing beside it looks alike"
    source.close()


def test_the_list_moves_to_a_run_that_is_chosen_in_the_plane(home: Home) -> None:
    run_ids = [_evaluated(home) for _ in range(6)]
    source = HistorySource(home)
    first = Interest(limit=2, plane=True)
    assert source.take(first).cursor is None
    chosen = source.take(replace(first, sought=run_ids[0]))
    assert chosen.cursor == 5
    assert run_ids[0] in [run_id for row in chosen.rows for run_id in row.run_ids]
    source.close()


def test_the_plane_has_the_newest_runs_and_how_many_there_are(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_ids = [_evaluated(home) for _ in range(3)]
    monkeypatch.setattr("vld_tui.dashboard.feed.MOST_POINTS", 2)
    source = HistorySource(home)
    snapshot = source.take(Interest(plane=True))
    assert [point.run_id for point in snapshot.points] == run_ids[:0:-1]
    assert [point.name for point in snapshot.points] == [
        f"trial #{run_id[-4:]}" for run_id in run_ids[:0:-1]
    ]
    assert snapshot.points_total == 3
    source.close()


def _evaluated(home: Home) -> str:
    """Return a finished run, one of several of its name."""
    with Store.open(home) as store:
        run = store.runs.create(resolve_spec({}), name="trial")
    Teller(home.run_dir(run.run_id)).says(
        started(),
        *evaluated(10, id_accuracy=0.7, ood_accuracy=0.5),
        finished(10, selected_step=10, id_accuracy=0.7, ood_accuracy=0.5),
    )
    return run.run_id


def test_a_run_that_ends_is_named_once(home: Home) -> None:
    run_id, other_id = _told(home), _told(home)
    source = HistorySource(home)
    assert source.take(Interest()).ended == ()
    Teller(home.run_dir(run_id)).says(
        finished(10, selected_step=10, id_accuracy=0.7, ood_accuracy=0.4)
    )
    with Store.open(home) as store:
        store.trash.discard(other_id)
    told = source.take(Interest())
    assert [(run.run_id, run.status) for run in told.ended] == [(run_id, "finished")]
    assert source.take(Interest()).ended == ()
    source.close()


def test_nothing_is_told_anew_while_nothing_happens(home: Home) -> None:
    run_id = _told(home)
    source = HistorySource(home)
    interest = Interest(watched=(run_id,), opened=run_id, plane=True)
    first = source.take(interest)
    assert source.take(interest) is first
    with Store.open(home) as store:
        store.labels.set_note(run_id, "noted elsewhere")
    second = source.take(interest)
    (row,) = second.rows
    assert isinstance(row, RunRow)
    assert row.run.note == "noted elsewhere"
    assert source.take(interest) is second
    Teller(home.run_dir(run_id)).says(steps_taken(20, 1.2))
    (row,) = source.take(interest).rows
    assert isinstance(row, RunRow)
    assert row.run.step == 20
    source.close()


def test_a_notification_that_was_not_sent_is_reported_once(home: Home) -> None:
    with Store.open(home) as store:
        store.settings.set_in_section(NotifyConfig, {"command": "true"})
        run = store.runs.create(resolve_spec({}), is_queued=True)
        store.queue.mark_unlaunched(run.run_id, "no GPU")
        due = store.notifications.claim()
        assert due is not None
        store.notifications.settle(due, "failed", "exit code 3")
    source = HistorySource(home)
    (unsent,) = source.take(Interest()).unsent
    assert (unsent.event, unsent.about, unsent.problem) == ("failed", run.run_id, "exit code 3")
    assert source.take(Interest()).unsent == ()
    source.close()


def test_an_expression_that_takes_too_long_is_reported_while_runs_are_marked(home: Home) -> None:
    with Store.open(home) as store:
        run = store.runs.create(resolve_spec({"seed": 1}), name="a" * 60)
    source = HistorySource(home)
    slow = Query.parse("name~^(a|aa)+$c")
    snapshot = source.take(Interest(query=slow, marked=(run.run_id,)))
    assert "takes too long" in snapshot.unmatched
    assert (snapshot.rows, snapshot.hidden) == ((), 1)
    source.close()
