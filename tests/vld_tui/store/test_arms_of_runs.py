"""Arms beside a run's own, and the measures of evaluations, stored for run and arm."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

import pytest

from engine.protocol import (
    MEASURES,
    ArmEvaluated,
    Combination,
    CombinationSpec,
    Evaluated,
    Parent,
    Summary,
    resolve_spec,
    run_identity,
)
from tests.vld_tui.store.told_runs import (
    TARGET,
    Teller,
    arm_evaluated,
    data_prepared,
    evaluation,
    finished,
    started,
)
from vld_tui.control.records import run_records, write_csv
from vld_tui.runs.metrics import LastEvaluation
from vld_tui.runs.run import CONFIGURATION, ArmResult, Run
from vld_tui.store.groups import find_grouping
from vld_tui.store.query import Query
from vld_tui.store.store import Store
from vld_tui.study.results.groups import group_by_seed
from vld_tui.views.compare import compare_lines
from vld_tui.views.run_columns import LISTED_COLUMNS, RUN_COLUMNS, run_row

ONE: Summary = dict.fromkeys(MEASURES, (0.75, 0.5))
OTHER: Summary = dict.fromkeys(MEASURES, (0.25, None))


def _tell(teller: Teller) -> None:
    teller.starts()
    teller.says(
        data_prepared(),
        evaluation(10, id_accuracy=0.8, ood_accuracy=0.5),
        arm_evaluated(10, "averaged", id_accuracy=0.6, ood_accuracy=0.7),
        arm_evaluated(10, "ensemble", id_accuracy=0.9, ood_accuracy=0.4),
        evaluation(20, id_accuracy=0.7, ood_accuracy=0.6, is_best=False),
        arm_evaluated(20, "averaged", id_accuracy=0.75, ood_accuracy=0.72),
        arm_evaluated(20, "ensemble", id_accuracy=0.9, ood_accuracy=0.3, is_best=False),
    )


def _results() -> list[ArmResult]:
    return [
        ArmResult(
            "averaged", 20, 0.75, 0.72, {"noto": 0.75, "twemoji": 0.75, TARGET: 0.72}
        ),
        ArmResult("ensemble", 10, 0.9, 0.4, {"noto": 0.9, "twemoji": 0.9, TARGET: 0.4}),
    ]  # fmt: skip


def test_each_arm_has_its_own_selected_step_and_leaves_the_run_s_alone(
    store: Store, run: Run, teller: Teller
) -> None:
    _tell(teller)
    store.live.refresh()
    assert store.series.arms([run.run_id]) == {run.run_id: _results()}
    seen = store.runs.get(run.run_id)
    assert (seen.arm, seen.selected_step, seen.ood_accuracy) == ("dropout", 10, 0.5)
    assert seen.domains == {"noto": 0.8, "twemoji": 0.8, TARGET: 0.5}
    assert store.series.ood_histories([run.run_id]) == {run.run_id: (0.5, 0.6)}


def test_of_an_arm_s_equal_steps_the_first_is_selected(
    store: Store, run: Run, teller: Teller
) -> None:
    teller.starts()
    teller.says(
        arm_evaluated(10, "averaged", id_accuracy=0.6, ood_accuracy=0.7),
        arm_evaluated(20, "averaged", id_accuracy=0.6, ood_accuracy=0.8),
    )
    store.live.refresh()
    (found,) = store.series.arms([run.run_id])[run.run_id]
    assert (found.selected_step, found.ood_accuracy) == (10, 0.7)
    teller.says(started(2, resumed_step=20))
    store.live.refresh()
    (found,) = store.series.arms([run.run_id])[run.run_id]
    assert (found.selected_step, found.ood_accuracy) == (10, 0.7)


def test_the_last_evaluation_is_of_the_last_step_and_of_both_splits_of_the_target(
    store: Store, run: Run, teller: Teller
) -> None:
    _tell(teller)
    store.live.refresh()
    known = {(run.run_id, "dropout"): LastEvaluation(20, 0.7, 0.6, 0.3)}
    assert store.series.last_evaluations([run.run_id]) == known
    teller.says(evaluation(3000 + 30, id_accuracy=0.1, ood_accuracy=0.2))
    teller.says(*(evaluation(4000 + at, id_accuracy=0.5, ood_accuracy=0.8) for at in range(600)))
    store.live.refresh()
    assert store.series.last_evaluations([run.run_id, "other"]) == {
        (run.run_id, "dropout"): LastEvaluation(4599, 0.5, 0.8, 0.4)
    }


def test_arms_are_read_alike_event_by_event_and_from_the_folder(
    store: Store, run: Run, teller: Teller
) -> None:
    _tell(teller)
    store.folders.rebuild()
    assert store.series.arms([run.run_id]) == {run.run_id: _results()}


def test_records_and_comparisons_have_the_other_arms(
    store: Store, run: Run, teller: Teller
) -> None:
    _tell(teller)
    store.live.refresh()
    bare = store.runs.create(resolve_spec({"steps": 20, "lr": 0.5}))
    records = run_records(store, [store.runs.get(run.run_id), bare])
    assert [each["arm"] for each in records[0]["arms"]] == ["averaged", "ensemble"]
    assert records[1]["arms"] == []
    file = io.StringIO()
    write_csv(records, file)
    first, second = csv.DictReader(io.StringIO(file.getvalue()))
    assert (first["arms.averaged.selected_step"], first["arms.averaged.ood_accuracy"]) == (
        "20", "0.72",
    )  # fmt: skip
    assert second["arms.averaged.ood_accuracy"] == ""
    groups = group_by_seed([store.runs.get(run.run_id), bare])
    rows = [
        line.split() for line in compare_lines(groups, store.series.arms([run.run_id]), cells=None)
    ]
    assert ["averaged", "ID", "75.0%", "–"] in rows
    assert ["averaged", "OOD", "72.0%", "–"] in rows


def test_a_resumed_run_selects_again_from_what_is_left(
    store: Store, run: Run, teller: Teller
) -> None:
    _tell(teller)
    store.live.refresh()
    teller.says(started(2, resumed_step=10))
    store.live.refresh()
    (averaged, ensemble) = store.series.arms([run.run_id])[run.run_id]
    assert (averaged.selected_step, averaged.id_accuracy) == (10, 0.6)
    assert averaged.domains == {"noto": 0.6, "twemoji": 0.6, TARGET: 0.7}
    assert ensemble == _results()[1]
    assert store.runs.get(run.run_id).selected_step == 10


def test_a_run_that_combines_others_is_known_by_its_parents(store: Store, run: Run) -> None:
    parents = (Parent(run.run_id, "/a/best.safetensors"), Parent("another", "/b/best.safetensors"))
    combination = Combination(method="soup", parents=parents)
    made = store.runs.create(CombinationSpec(run.spec, combination))
    assert (made.arm, made.combination) == ("soup", combination)
    assert made.name == f"{run.spec.target}-soup-of-2"
    assert made.identity == run_identity(made.task) != run.identity
    groups = store.groups.find(Query(), find_grouping(CONFIGURATION))
    assert [group.runs for group in groups] == [1, 1]
    store.folders.rebuild()
    assert store.runs.get(made.run_id) == made


def test_a_run_that_combines_others_has_the_values_its_parents_agree_on(
    store: Store, run: Run
) -> None:
    other = store.runs.create(resolve_spec({"steps": 20, "masks": 2, "seed": 1, "threads": 3}))
    parents = (Parent(run.run_id, "/a"), Parent(other.run_id, "/b"))
    soup = store.runs.create(CombinationSpec(run.spec, Combination(method="soup", parents=parents)))
    assert soup.mixed_fields == ("masks", "seed")
    (record,) = run_records(store, [soup])
    assert (record["dropout_rate"], record["masks"], record["seed"]) == (0.9, None, None)
    cells = dict(zip(LISTED_COLUMNS, run_row(soup, now=0), strict=True))
    assert (cells["dropout_rate"], cells["masks"], cells["seed"], cells["arm"]) == (
        "0.9",
        "–",
        "–",
        "soup",
    )
    gone = (Parent(run.run_id, "/a"), Parent("gone", "/b"))
    unknown = store.runs.create(CombinationSpec(run.spec, Combination(method="soup", parents=gone)))
    assert {"dropout_rate", "lr"} <= set(unknown.mixed_fields)


def test_the_pretrained_network_is_no_run_that_could_differ(store: Store, run: Run) -> None:
    parents = (Parent("", None), Parent(run.run_id, "/b"))
    way = Combination(method="interpolation", parents=parents)
    assert store.runs.create(CombinationSpec(run.spec, way)).mixed_fields == ()


def test_runs_that_differ_only_in_where_they_are_computed_are_the_same(store: Store) -> None:
    first = store.runs.create(resolve_spec({"threads": 1}))
    second = store.runs.create(resolve_spec({"threads": 2, "log_every": 3}))
    other = store.runs.create(resolve_spec({"seed": 1}))
    assert first.identity is not None
    assert store.runs.by_identity([first.identity]) == {first.identity: [first, second]}
    (group,) = store.groups.find(Query(), find_grouping(CONFIGURATION))
    assert group.runs == 3
    assert other.identity != first.identity


def test_the_finished_run_s_arms_stay(store: Store, run: Run, teller: Teller) -> None:
    _tell(teller)
    teller.says(finished(20, selected_step=10, id_accuracy=0.8, ood_accuracy=0.5))
    store.live.refresh()
    assert store.series.arms([run.run_id, "nobody"]) == {run.run_id: _results()}


@dataclass(frozen=True)
class At:
    """An evaluation at a step."""

    step: int
    id_accuracy: float
    measures: Summary

    def own(self, *, is_best: bool) -> Evaluated:
        return Evaluated(
            step=self.step, metrics=[], id_accuracy=self.id_accuracy, ood_accuracy=0.3,
            is_best=is_best, wall_s=1.0, measures=self.measures,
        )  # fmt: skip

    def of_arm(self, *, is_best: bool) -> ArmEvaluated:
        return ArmEvaluated(
            step=self.step, arm="averaged", metrics=[], id_accuracy=self.id_accuracy,
            ood_accuracy=0.3, is_best=is_best, wall_s=1.0, measures=self.measures,
        )  # fmt: skip


@pytest.fixture
def measured(store: Store, run: Run, teller: Teller) -> Run:
    """Return a run whose first evaluation is selected."""
    first, second = At(10, 0.9, ONE), At(20, 0.8, OTHER)
    teller.starts()
    teller.says(
        data_prepared(),
        first.own(is_best=True), first.of_arm(is_best=True),
        second.own(is_best=False), second.of_arm(is_best=False),
    )  # fmt: skip
    store.live.refresh()
    return store.runs.get(run.run_id)


def test_a_run_and_its_arms_have_the_measures_of_their_selected_step(
    store: Store, measured: Run
) -> None:
    assert measured.measures == ONE
    assert [each.measures for each in store.series.arms([measured.run_id])[measured.run_id]] == [
        ONE
    ]


def test_what_a_resumed_run_has_not_reached_again_is_forgotten(
    store: Store, measured: Run, teller: Teller
) -> None:
    teller.starts(attempt=2, resumed_step=5)
    teller.says(At(10, 0.7, OTHER).own(is_best=True))
    store.live.refresh()

    assert store.runs.get(measured.run_id).measures == OTHER
    assert store.series.arms([measured.run_id]).get(measured.run_id, []) == []


@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_is_filtered_listed_and_exported(
    store: Store, measured: Run, name: str
) -> None:
    is_share, has_id = MEASURES[name].unit == "share", not MEASURES[name].is_of_target
    of_id = f"id_{name}={'75%' if is_share else 0.75} " if has_id else ""
    found = store.runs.find(Query.parse(f"{of_id}ood_{name}<0.6", sort=f"-ood_{name}"))
    assert [each.run_id for each in found] == [measured.run_id]
    assert store.runs.find(Query.parse(f"ood_{name}>0.5")) == []

    shown = RUN_COLUMNS[f"ood_{name}"].of_run(measured, (), 0.0)
    assert shown == ("50.0%" if is_share else "0.500")

    [record] = run_records(store, [measured])
    assert record["measures"].get(f"id_{name}") == (0.75 if has_id else None)
    file = io.StringIO()
    write_csv([record], file)
    heading, values = (line.split(",") for line in file.getvalue().splitlines())
    row = dict(zip(heading, values, strict=True))
    assert row[f"ood_{name}"] == "0.5"
    assert row.get(f"arms.averaged.id_{name}") == ("0.75" if has_id else None)


def test_a_run_of_an_earlier_version_has_no_measures(
    store: Store, teller: Teller, run: Run
) -> None:
    teller.starts()
    teller.says(data_prepared(), At(10, 0.9, {}).own(is_best=True))
    store.live.refresh()

    assert store.runs.get(run.run_id).measures == {}
    assert RUN_COLUMNS["id_balanced_accuracy"].of_run(store.runs.get(run.run_id), (), 0.0) == "–"
