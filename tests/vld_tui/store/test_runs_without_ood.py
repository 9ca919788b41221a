"""Runs that left no domain out: known by their ID accuracy alone, wherever runs are read."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

import pytest

from engine.protocol import resolve_spec
from tests.vld_tui.store.release import load
from tests.vld_tui.store.told_runs import (
    SOURCES,
    Teller,
    arm_evaluated,
    data_prepared,
    evaluation,
    finished,
    started,
)
from vld_tui.control.records import run_records, write_csv
from vld_tui.dashboard.feed import group_point
from vld_tui.home import Home
from vld_tui.runs.run import CONFIGURATION, ArmResult, Run
from vld_tui.store.groups import find_grouping
from vld_tui.store.query import Query
from vld_tui.store.store import Store
from vld_tui.study.results.groups import group_by_seed
from vld_tui.views.compare import compare_lines
from vld_tui.views.run_columns import LISTED_COLUMNS, run_row

MakeTold = Callable[..., Run]
AVERAGED = ArmResult("averaged", 10, 0.6, None, dict.fromkeys(SOURCES, 0.6))


@pytest.fixture
def make_told(store: Store, home: Home) -> MakeTold:
    """Return a function that makes a finished run; of target None as of images of one domain."""

    def make(**fields: object) -> Run:
        run = store.runs.create(resolve_spec({"data_dir": "/photos", "steps": 20, **fields}))
        teller, ood = Teller(home.run_dir(run.run_id)), None
        is_left_out = run.spec.target not in (None, "none")
        ood = 0.4 if is_left_out else None
        teller.starts()
        teller.says(
            data_prepared(run.spec.target if is_left_out else None),
            evaluation(10, id_accuracy=0.8, ood_accuracy=ood),
            arm_evaluated(10, "averaged", id_accuracy=0.6, ood_accuracy=ood),
            evaluation(20, id_accuracy=0.7, ood_accuracy=ood, is_best=False),
            finished(20, selected_step=10, id_accuracy=0.8, ood_accuracy=ood),
        )
        store.live.refresh()
        return store.runs.get(run.run_id)

    return make


@pytest.mark.parametrize("target", ["none", None])
def test_what_is_known_of_it(store: Store, make_told: MakeTold, target: str | None) -> None:
    run = make_told(target=target)
    assert (run.status, run.target, run.has_ood) == ("finished", "none", False)
    assert (run.selected_step, run.id_accuracy, run.ood_accuracy) == (10, 0.8, None)
    assert run.accuracy_gap is None
    assert run.domains == dict.fromkeys(SOURCES, 0.8)
    assert store.series.arms([run.run_id]) == {run.run_id: [AVERAGED]}
    assert store.series.ood_histories([run.run_id]) == {}
    assert {each.domain for each in store.series.metrics(run.run_id)} == {*SOURCES, "id"}
    store.folders.rebuild()
    assert store.runs.get(run.run_id) == run
    assert store.series.arms([run.run_id]) == {run.run_id: [AVERAGED]}


def test_its_name_begins_with_its_data(make_told: MakeTold) -> None:
    assert make_told(target="none").name == make_told(target=None).name
    assert make_told(target="none").name.startswith("photos-d0.9")


def test_a_resumed_run_selects_again_from_what_is_left(
    store: Store, home: Home, make_told: MakeTold
) -> None:
    run = make_told(target="none")
    Teller(home.run_dir(run.run_id)).says(started(2, resumed_step=10))
    store.live.refresh()
    seen = store.runs.get(run.run_id)
    assert (seen.selected_step, seen.id_accuracy, seen.ood_accuracy) == (10, 0.8, None)
    assert store.series.arms([run.run_id]) == {run.run_id: [AVERAGED]}


def test_filters_find_it_and_orders_by_ood_have_it_last(store: Store, make_told: MakeTold) -> None:
    said, unsaid = make_told(target="none"), make_told(target=None)
    noto = make_told(target="noto")
    nothing = {run.run_id for run in store.runs.find(Query.parse("target=none"))}
    assert nothing == {said.run_id, unsaid.run_id}
    assert store.runs.find(Query.parse("target!=none")) == [noto]
    assert store.runs.find(Query.parse("ood>0")) == [noto]
    assert len(store.runs.find(Query.parse("ood=none"))) == 2
    for order in ("ood", "-ood"):
        assert store.runs.find(Query.parse("", sort=order))[0] == noto
        assert store.groups.find(Query(), find_grouping("target"), sort=order)[0].key == "noto"


def test_it_has_no_place_in_the_plane_and_is_counted(store: Store, make_told: MakeTold) -> None:
    make_told(target="none")
    make_told(target=None, seed=1)
    noto = make_told(target="noto")
    store.runs.create(resolve_spec({}))  # not evaluated yet
    assert [point.run_id for point in store.runs.points(limit=9)] == [noto.run_id]
    assert store.runs.count_without_ood() == 2
    assert store.runs.count_without_ood(Query.parse("target=noto")) == 0


def test_seeds_are_grouped_without_an_ood_accuracy(store: Store, make_told: MakeTold) -> None:
    runs = [make_told(target=target, seed=seed) for seed, target in enumerate(("none", None))]
    grouping = find_grouping(CONFIGURATION)
    (group,) = store.groups.find(Query(), grouping)
    assert (group.runs, group.ood_accuracy, group.target) == (2, None, "none")
    assert group.id_accuracy is not None
    assert group.id_accuracy.mean == 0.8
    assert group_point(group, grouping, "photos") is None
    rows = [
        line.split()
        for line in compare_lines(group_by_seed(runs), store.series.arms([]), cells=None)
    ]
    assert ["OOD", "–"] in rows
    assert ["OOD", "−", "ID", "–"] in rows


def test_rows_and_records_have_no_number_for_it(store: Store, make_told: MakeTold) -> None:
    run = make_told(target="none")
    row = dict(zip(LISTED_COLUMNS, run_row(run, now=0.0), strict=True))
    assert (row["id"], row["ood"], row["data"]) == ("80.0%", "–", "photos → none")
    (record,) = run_records(store, [run])
    assert (record["target"], record["id_accuracy"], record["ood_accuracy"]) == ("none", 0.8, None)
    assert record["arms"][0]["ood_accuracy"] is None
    file = io.StringIO()
    write_csv([record], file)
    (line,) = csv.DictReader(io.StringIO(file.getvalue()))
    assert (line["ood_accuracy"], line["arms.averaged.ood_accuracy"]) == ("", "")


def test_arms_of_before_are_taken_along(home: Home) -> None:
    load(home, "m012_recovered")
    with Store.open(home) as store:
        (run,) = store.runs.find()
        (arm,) = store.series.arms([run.run_id])[run.run_id]
        assert arm.ood_accuracy is not None
