"""Evaluations on other data as records and rows for scripts, and in the run's folder."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from engine.protocol import Confusion
from engine.rundir import RunDir
from tests.made_evaluations import make_evaluation
from vld_tui.runs.evaluations import (
    class_results,
    evaluation_record,
    evaluation_rows,
    pooled_confusions,
)
from vld_tui.runs.run_folder import FolderReader

CONFUSIONS = (Confusion(0, 0, 6), Confusion(0, 1, 2), Confusion(1, 1, 3), Confusion(1, 0, 1))


def test_results_of_classes_agree_with_their_definitions() -> None:
    first, second, third = class_results(CONFUSIONS, ["a", "b", "c"])
    assert (first.recall, first.precision) == (0.75, 6 / 7)
    assert first.f1 == pytest.approx(2 * 0.75 * (6 / 7) / (0.75 + 6 / 7))
    assert (second.recall, second.precision, second.images) == (0.75, 0.6, 4)
    assert (third.recall, third.precision, third.f1, third.interval) == (None,) * 4


def test_domains_are_pooled() -> None:
    made = make_evaluation({"a": 0.9, "b": 0.5})
    assert pooled_confusions(made)[0] == Confusion(0, 0, 140)


def test_a_record_names_classes_and_states_intervals() -> None:
    made = make_evaluation({"a": 0.9, "b": 0.5})
    record = json.loads(msgspec.json.encode(evaluation_record(made)))
    assert record["accuracy"] == pytest.approx(0.7)
    low, high = record["accuracy_interval"]
    assert low < 0.7 < high
    assert record["domains"][0]["balanced_accuracy"] == 0.9
    assert record["domains"][0]["calibrated_calibration_error"] == 0.05
    assert record["absent_classes"] == ["[b]dog\x1b"]
    assert record["pooled"]["classes"][0]["class"] == "bird"
    wrong = [each for each in record["pooled"]["confusions"] if each["class"] != each["predicted"]]
    assert wrong[0] == {"class": "bird", "predicted": "cat", "images": 60}
    assert record["is_test"]


def test_rows_are_domains_then_classes() -> None:
    rows = [*evaluation_rows(make_evaluation({"a": 0.9, "b": 0.5}))]
    assert [(row["domain"], row["class"]) for row in rows[:5]] == [
        ("a", ""), ("b", ""), ("mean", ""), ("all images", ""), ("a", "bird"),
    ]  # fmt: skip
    assert len(rows) == 4 + 3 * 3
    [alone, *_] = evaluation_rows(make_evaluation())
    assert alone["accuracy"] == 0.8


def test_evaluations_are_read_oldest_first_and_again_when_one_changes(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path)
    reader = FolderReader(run_dir)
    assert reader.read().evaluations.found == ()
    later = make_evaluation(name="b", evaluated_at=2.0)
    for each in (later, make_evaluation(name="c", evaluated_at=1.0)):
        run_dir.write_evaluation(each)
    (run_dir.evaluations / "torn.json").write_bytes(b"{")
    high = Confusion(9, 0, 1)
    wrong = replace(later.domains[0], confusions=(high,))
    run_dir.write_evaluation(replace(later, name="high", domains=(wrong,)))
    found = reader.read().evaluations
    assert [each.name for each in found.found] == ["c", "b"]
    assert set(found.damaged) == {"torn", "high"}
    assert reader.read().evaluations is found
    run_dir.delete_evaluation("c")
    assert [each.name for each in reader.read().evaluations.found] == ["b"]


def test_the_name_of_an_evaluation_is_its_file_s(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path)
    run_dir.write_evaluation(make_evaluation(name="a")).rename(run_dir.evaluations / "b.json")
    assert [each.name for each in run_dir.read_evaluations().found] == ["b"]


def test_nothing_is_read_through_a_link(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path / "run")
    run_dir.path.mkdir()
    secret = RunDir(tmp_path).write_evaluation(make_evaluation())
    run_dir.evaluations.mkdir()
    (run_dir.evaluations / "planted.json").symlink_to(secret)
    stored = run_dir.read_evaluations()
    assert stored.found == ()
    assert "symbolic link" in stored.damaged["planted"]
