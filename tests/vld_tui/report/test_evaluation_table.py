"""A report's table of results on other data: means over seeds of the same data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from engine.protocol.data_evaluations import DataEvaluation
from tests.made_evaluations import make_evaluation
from tests.vld_tui.study.made_outcomes import result
from vld_tui.report.evaluations import evaluation_tables
from vld_tui.report.tables import Table, records
from vld_tui.runs.statistics import estimate
from vld_tui.study.results.outcomes import Outcome

STEP = result().selected_step


def _made(accuracy: float, **fields: Any) -> DataEvaluation:
    return make_evaluation({"all": accuracy}, **{"step": STEP} | fields)


def _table(found: Sequence[tuple[Outcome, Sequence[DataEvaluation]]]) -> Table | None:
    own_arms = {each.run_id: "dropout" for each, _ in found}
    stored = {each.run_id: evaluations for each, evaluations in found}
    tables = evaluation_tables([each for each, _ in found], own_arms, stored)
    return tables[0] if tables else None


def test_nothing_evaluated_is_no_table() -> None:
    assert _table([(result(), [])]) is None


def test_seeds_are_averaged_with_their_interval() -> None:
    accuracies = (0.7, 0.8, 0.9)
    table = _table([(result(seed=seed), [_made(each)]) for seed, each in enumerate(accuracies)])
    assert table is not None
    [row] = records(table)
    expected = estimate(accuracies)
    assert expected is not None
    assert row["data"] == "photos"
    assert (row["images"], row["runs"], row["seeds"]) == (200, 3, "3")
    assert row["accuracy"] == pytest.approx(0.8)
    assert row["accuracy_half_interval"] == pytest.approx(expected.half_interval)
    assert row["balanced_accuracy"] == pytest.approx(0.8)
    assert row["calibration_error"] == pytest.approx(0.1)


def test_settings_and_targets_have_rows_and_a_mean() -> None:
    table = _table([
        (result(target, rate=rate), [_made(accuracy)])
        for target, rate, accuracy in (
            ("art", 0.0, 0.5), ("art", 0.9, 0.6), ("pen", 0.0, 0.7), ("pen", 0.9, 0.8),
        )
    ])  # fmt: skip
    assert table is not None
    rows = [(row["target"], row["setting"], row["accuracy"]) for row in records(table)]
    assert [row[0] for row in rows] == ["art", "art", "pen", "pen", "mean of 2", "mean of 2"]
    assert rows[-1][2] == pytest.approx(0.7)


def test_other_data_other_networks_and_older_steps_stay_apart() -> None:
    plain, averaged = result(seed=0), result(seed=0, arm="averaged")
    evaluations = [
        _made(0.4),
        _made(0.5),
        _made(0.6, digest="others", dataset="others"),
        _made(0.7, arm="averaged"),
        _made(0.1, step=10),
        _made(0.2, at="last"),
    ]
    table = _table([(plain, evaluations), (averaged, evaluations)])
    assert table is not None
    rows = {(row["data"], row["setting"]): row["accuracy"] for row in records(table)}
    assert {key: round(float(value or 0), 6) for key, value in rows.items()} == {
        ("photos", plain.setting.label): 0.5,
        ("photos", averaged.setting.label): 0.7,
        ("others", plain.setting.label): 0.6,
    }


def test_what_is_no_test_is_noted() -> None:
    made = _made(0.5)
    own = replace(made, domains=(replace(made.domains[0], known={"training": 1}),))
    table = _table([(result(seed=0), [made]), (result(seed=1), [own])])
    assert table is not None
    assert any(note.startswith("1 of 2 evaluations are not tests") for note in table.notes)
    one = _table([(result(seed=0), [made])])
    assert one is not None
    assert not any("not tests" in note for note in one.notes)
