"""Measures of an evaluation are stored for run and arm, listed, filtered and exported."""

import io
from dataclasses import dataclass

import pytest

from engine.protocol import MEASURES, ArmEvaluated, Evaluated, Summary
from tests.vld_tui.store.told_runs import Teller, data_prepared
from vld_tui.control.export import run_records, write_csv
from vld_tui.runs.run import Run
from vld_tui.store.query import Query
from vld_tui.store.store import Store
from vld_tui.views.run_columns import RUN_COLUMNS

ONE: Summary = dict.fromkeys(MEASURES, (0.75, 0.5))
OTHER: Summary = dict.fromkeys(MEASURES, (0.25, None))


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
    found = store.runs.find(Query.parse(f"id_{name}=75% ood_{name}<0.6", sort=f"-ood_{name}"))
    assert [each.run_id for each in found] == [measured.run_id]
    assert store.runs.find(Query.parse(f"ood_{name}>0.5")) == []

    assert RUN_COLUMNS[f"ood_{name}"].of_run(measured, (), 0.0) == "50.0%"

    [record] = run_records(store, [measured])
    assert record["measures"][f"id_{name}"] == 0.75
    file = io.StringIO()
    write_csv([record], file)
    heading, values = (line.split(",") for line in file.getvalue().splitlines())
    row = dict(zip(heading, values, strict=True))
    assert row[f"ood_{name}"] == "0.5"
    assert row[f"arms.averaged.id_{name}"] == "0.75"


def test_a_run_of_an_earlier_version_has_no_measures(
    store: Store, teller: Teller, run: Run
) -> None:
    teller.starts()
    teller.says(data_prepared(), At(10, 0.9, {}).own(is_best=True))
    store.live.refresh()

    assert store.runs.get(run.run_id).measures == {}
    assert RUN_COLUMNS["id_balanced_accuracy"].of_run(store.runs.get(run.run_id), (), 0.0) == "–"
