"""Runs taken together (by a field, or by all but their seeds), and pages of a long history."""

from __future__ import annotations

import msgspec
import pytest

from engine.protocol import resolve_spec
from tests.vld_tui.store.told_runs import Teller, evaluated, finished, started
from vld_tui.home import Home
from vld_tui.runs.run import CONFIGURATION, GroupRow
from vld_tui.store.errors import QueryError
from vld_tui.store.groups import find_grouping, member_condition
from vld_tui.store.query import Query
from vld_tui.store.store import Store
from vld_tui.views.run_columns import RUN_COLUMNS

EVERY = Query()


def told(
    store: Store, home: Home, accuracy: float | None, *, measures: bool = True, **fields: object
) -> str:
    """Make a run that reached an OOD accuracy, 0.2 below its ID accuracy and 0.1 above its OOD
    balanced accuracy."""
    run = store.runs.create(resolve_spec(fields))
    if accuracy is not None:
        measured = evaluated(10, id_accuracy=accuracy + 0.2, ood_accuracy=accuracy)
        found = {"balanced_accuracy": (accuracy, accuracy - 0.1)} if measures else {}
        measured[0] = msgspec.structs.replace(measured[0], measures=found)
        end = finished(10, selected_step=10, id_accuracy=accuracy + 0.2, ood_accuracy=accuracy)
        Teller(home.run_dir(run.run_id)).says(started(), *measured, end)
        store.live.refresh()
    return run.run_id


def test_seeds_of_one_configuration_are_one_group_with_mean_and_spread(home: Home) -> None:
    with Store.open(home) as store:
        for seed, accuracy in enumerate([0.4, 0.5, 0.6]):
            told(store, home, accuracy, seed=seed)
        other = told(store, home, None, dropout_rate=0.5, trial_seed=4)
        by_configuration = find_grouping(CONFIGURATION)
        newest, seeds = store.groups.find(EVERY, by_configuration)
        assert store.groups.count(EVERY, by_configuration) == 2
        assert newest.run_ids == (other,)
        assert (newest.ood_accuracy, newest.statuses) == (None, {"starting": 1})
        assert (seeds.runs, seeds.newest.seed) == (3, 2)
        assert seeds.ood_accuracy is not None
        assert seeds.ood_accuracy.n == 3
        assert seeds.ood_accuracy.mean == pytest.approx(0.5)
        assert seeds.ood_accuracy.deviation == pytest.approx(0.1)
        inside = EVERY.narrowed(member_condition(by_configuration, seeds.key))
        assert {run.run_id for run in store.runs.find(inside)} == set(seeds.run_ids)


def test_groups_have_means_of_measures_and_are_sorted_by_them(home: Home) -> None:
    with Store.open(home) as store:
        for rate, accuracies in ((0.0, (0.4, 0.6)), (0.9, (0.7, 0.7)), (0.5, (None,))):
            for seed, accuracy in enumerate(accuracies):
                told(store, home, accuracy, dropout_rate=rate, seed=seed)
        best = store.groups.find(EVERY, find_grouping(CONFIGURATION), sort="-ood_balanced_accuracy")
        assert [each.newest.dropout_rate for each in best] == [0.9, 0.0, 0.5]
        ids, oods = best[1].measures["balanced_accuracy"]
        assert ids is not None
        assert oods is not None
        assert (ids.mean, oods.mean, oods.n) == pytest.approx((0.5, 0.4, 2))
        assert oods.deviation == pytest.approx(0.2 / 2**0.5)
        assert best[2].measures == {}
        row = GroupRow(best[1], find_grouping(CONFIGURATION), "some")
        assert RUN_COLUMNS["ood_balanced_accuracy"].of_group(row, 0.0) == "40.0±14.1%"
        assert RUN_COLUMNS["id_calibration_error"].of_group(row, 0.0) == "–"


def test_a_measure_that_only_some_runs_have_is_withheld(home: Home) -> None:
    with Store.open(home) as store:
        for rate, seeds in ((0.0, 3), (0.9, 2)):
            for seed in range(seeds):
                told(store, home, 0.5, dropout_rate=rate, seed=seed, measures=seed < 2)
        named = {
            each.newest.dropout_rate: each
            for each in store.groups.find(EVERY, find_grouping(CONFIGURATION))
        }
        assert [*named[0.9].measures] == ["balanced_accuracy"]
        assert named[0.0].measures == {}
        order = store.groups.find(EVERY, find_grouping(CONFIGURATION), sort="ood_balanced_accuracy")
        assert [each.newest.dropout_rate for each in order] == [0.9, 0.0]


def test_a_group_has_all_of_its_runs(home: Home) -> None:
    with Store.open(home) as store:
        for seed in range(250):
            store.runs.create(resolve_spec({"seed": seed}))
        (group,) = store.groups.find(EVERY, find_grouping(CONFIGURATION))
        assert len(group.run_ids) == group.runs == 250


def test_the_same_run_done_twice_counts_as_one(home: Home) -> None:
    with Store.open(home) as store:
        told(store, home, 0.4, seed=0)
        told(store, home, 0.6, seed=0)
        told(store, home, 0.7, seed=1)
        (group,) = store.groups.find(EVERY, find_grouping(CONFIGURATION))
        assert group.runs == 3
        assert group.ood_accuracy is not None
        assert group.ood_accuracy.n == 2
        assert group.ood_accuracy.mean == pytest.approx(0.6)


def test_groups_by_a_field_are_sorted_and_paged(home: Home) -> None:
    with Store.open(home) as store:
        for rate, accuracy in ((0.0, 0.3), (0.5, 0.7), (0.9, None)):
            told(store, home, accuracy, dropout_rate=rate)
        by_rate = find_grouping("dropout")
        best = store.groups.find(EVERY, by_rate, sort="-ood")
        assert [group.key for group in best] == [0.5, 0.0, 0.9]
        assert [each.key for each in store.groups.find(EVERY, by_rate, sort="dropout")] == [
            0.0, 0.5, 0.9,
        ]  # fmt: skip
        page = store.groups.find(EVERY, by_rate, sort="-ood", offset=1, limit=1)
        assert [group.key for group in page] == [0.0]
        some = Query.parse("dropout>0.2")
        assert store.groups.count(some, by_rate) == 2


def test_missing_values_are_a_group_of_their_own(home: Home) -> None:
    with Store.open(home) as store:
        told(store, home, None, target="noto")
        unset = told(store, home, None)
        by_clip = find_grouping("grad_clip")
        (group,) = store.groups.find(EVERY, by_clip)
        assert (group.key, group.runs) == (None, 2)
        inside = EVERY.narrowed(member_condition(by_clip, None))
        assert unset in {run.run_id for run in store.runs.find(inside)}


def test_a_group_knows_the_data_set_and_target_that_its_runs_share(home: Home) -> None:
    with Store.open(home) as store:
        for rate, target in ((0.5, "noto"), (0.5, "noto-color"), (0.9, "noto"), (0.9, "noto")):
            told(store, home, 0.5, dropout_rate=rate, target=target)
        shared, mixed = store.groups.find(EVERY, find_grouping("dropout"), sort="-dropout")
        assert (shared.dataset, shared.target) == ("objects-drawn", "noto")
        assert (mixed.dataset, mixed.target) == ("objects-drawn", None)
        points = store.runs.points(EVERY, limit=9)
        assert {(point.dataset, point.target) for point in points} == {
            ("objects-drawn", "noto"), ("objects-drawn", "noto-color"),
        }  # fmt: skip


def test_an_unknown_field_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(QueryError, match=r"No field 'targett' to group by\. Did you mean target"):
        find_grouping("targett")


def test_what_is_not_finished_is_counted_but_not_averaged(home: Home) -> None:
    with Store.open(home) as store:
        told(store, home, 0.6, seed=0)
        live = store.runs.create(resolve_spec({"seed": 1}))
        begun = evaluated(10, id_accuracy=0.3, ood_accuracy=0.1)
        Teller(home.run_dir(live.run_id)).says(started(), *begun)
        store.live.refresh()
        (group,) = store.groups.find(EVERY, find_grouping(CONFIGURATION))
        assert group.runs == 2
        assert group.ood_accuracy is not None
        assert (group.ood_accuracy.n, group.ood_accuracy.mean) == (1, 0.6)


def test_pages_put_together_are_the_whole_list(store: Store) -> None:
    for seed in range(7):
        store.runs.create(resolve_spec({"seed": seed}))
    query = Query.parse("seed>=1", sort="-seed")
    whole = store.runs.find(query)
    assert [run.seed for run in whole] == [6, 5, 4, 3, 2, 1]
    pages = [store.runs.find(query, offset=offset, limit=4) for offset in (0, 4)]
    assert [len(page) for page in pages] == [4, 2]
    assert pages[0] + pages[1] == whole
    assert store.runs.count(query) == 6
    assert store.runs.count() == 7


def test_what_is_in_the_trash_is_counted_apart(store: Store) -> None:
    run = store.runs.create(resolve_spec({}))
    store.runs.create(resolve_spec({}))
    Teller(store.runs.run_dir(run.run_id)).says(started())
    store.live.refresh()
    assert store.runs.count_statuses() == {"starting": 1, "running": 1}
    assert (store.runs.count(), store.runs.count(trashed=True)) == (2, 0)


def test_points_are_the_evaluated_runs_that_match(store: Store) -> None:
    for seed in range(3):
        fields = {"seed": seed, "dropout_rate": 0.5, "augment_validation": seed == 2}
        run = store.runs.create(resolve_spec(fields))
        if seed:
            events = evaluated(10, id_accuracy=0.7, ood_accuracy=0.4 + seed / 10)
            Teller(store.runs.run_dir(run.run_id)).says(started(), *events)
    store.live.refresh()
    (point,) = store.runs.points(Query.parse("seed<2"), limit=10)
    assert (point.id_accuracy, point.ood_accuracy, point.dropout_rate) == (0.7, 0.5, 0.5)
    assert [each.is_augmented for each in store.runs.points(limit=10)] == [True, False]
    assert len(store.runs.points(limit=1)) == 1
