"""A study laid out over two of its fields."""

from __future__ import annotations

import csv
import io

import msgspec
import pytest

from tests.vld_tui.study.known_datasets import read
from tests.vld_tui.study.made_studies import RATES, half_done, state_of
from vld_tui.control.records import write_table
from vld_tui.dashboard.draw.study import (
    mean_points,
    runs_without_ood,
    study_table,
    target_points,
)
from vld_tui.dashboard.draw.study_map import Axes, study_map
from vld_tui.study.results.cells import (
    OWN_ARM,
    SETTING,
    StudyCell,
    StudyGrid,
    arms_of,
    compared_grid,
    grid_of,
    grid_so_far,
    quantities,
    usual_axes,
    varying_fields,
)
from vld_tui.study.results.outcomes import ID, OOD, Quantity
from vld_tui.study.results.state import StudyState
from vld_tui.study.standing import Standing
from vld_tui.views.study import result_lines

NOTO, FLUENT = ("emoji", "noto"), ("emoji", "fluent")


def grid(state: StudyState, down: str, across: str, arm: str = OWN_ARM) -> StudyGrid:
    varying = varying_fields(RATES)
    return grid_of(state, down, across, arm=arm, varying=varying)


def compared(state: StudyState, arm: str = OWN_ARM) -> StudyGrid:
    return compared_grid(state, arm=arm, varying=varying_fields(RATES))


USUAL = quantities(())


def mean(cell: StudyCell, quantity: Quantity) -> float:
    found = cell.estimate(quantity)
    assert found is not None
    return found.mean


def test_what_is_compared_stands_down_and_targets_across() -> None:
    assert varying_fields(RATES) == ("dropout_rate", "target", "seed")
    assert usual_axes(RATES) == ("dropout_rate", "target")
    assert arms_of(RATES) == (OWN_ARM, "averaged")
    one = read('name = "one"\nseeds = 2\n[fields]\ntarget = "lineart"\n')
    assert usual_axes(one) == ("seed", "target")


def test_several_compared_fields_stand_down_together() -> None:
    text = RATES.text.replace("dropout_rate =", 'objective = ["erm", "coral"]\ndropout_rate =')
    study = read(text)
    assert study.compare == ("objective", "dropout_rate")
    assert usual_axes(study) == (SETTING, "target")
    state = StudyState("rates", Standing(study, (None,) * len(study.specs)))
    found = grid_of(state, *usual_axes(study), arm=OWN_ARM, varying=varying_fields(study))
    assert [setting.label for setting in found.rows] == [
        "objective erm · λ 0", "objective erm · λ 0.9",
        "objective coral · λ 0", "objective coral · λ 0.9",
    ]  # fmt: skip
    assert found.over == (), "erm is not averaged with coral, nor λ 0 with λ 0.9"
    by_objective = grid_of(state, "objective", "target", arm=OWN_ARM, varying=varying_fields(study))
    assert by_objective.over == ("dropout_rate",)


def test_a_place_is_the_mean_over_seeds() -> None:
    found = grid(state_of(), "dropout_rate", "target")
    assert (found.rows, found.columns, found.over) == ((0.0, 0.9), (FLUENT, NOTO), ())
    cell = found.cells[0.9, NOTO]
    accuracy = cell.estimate(OOD)
    assert accuracy is not None
    assert accuracy.mean == pytest.approx(0.65)
    assert accuracy.n == 2
    assert mean(cell, ID) == pytest.approx(0.8)
    assert mean(cell, USUAL["gap"]) == pytest.approx(-0.15)
    assert cell.worst is not None
    assert cell.worst[0] == "noto"
    assert cell.worst[1].mean == pytest.approx(0.65)
    assert cell.is_complete


def test_accuracies_of_other_images_have_no_mean() -> None:
    cell = grid(state_of(), "dropout_rate", "target").cells[0.9, NOTO]
    first, *others = cell.specs
    augmented = msgspec.structs.replace(first, augment_validation=True)
    assert StudyCell((augmented, *others), cell.runs, cell.results).estimate(ID) is None
    over = StudyGrid((0.0,), (NOTO,), {}, ("lr", "augment_validation"))
    title = study_map(over, Axes("dropout_rate", "target"), "id", OWN_ARM).title
    assert "mean over lr, ± sd over seeds" in title
    assert title.endswith("augment_validation is not averaged: choose it as an axis")


def test_another_arm_is_measured_where_it_was() -> None:
    cell = grid(state_of(), "dropout_rate", "target", "averaged").cells[0.9, NOTO]
    assert mean(cell, OOD) == pytest.approx(0.66)
    assert grid(state_of(), "dropout_rate", "target", "ensemble").cells[0.9, NOTO].results == ()


def test_other_fields_that_vary_are_named() -> None:
    found = grid(state_of(), "dropout_rate", "seed")
    assert found.over == ("target",)
    assert len(found.cells[0.0, 1].specs) == 2


def test_only_what_is_finished_counts_and_the_rest_is_told() -> None:
    found = grid(state_of(status=half_done), "dropout_rate", "target")
    whole, failed = found.cells[0.0, FLUENT], found.cells[0.9, NOTO]
    assert (whole.is_complete, failed.is_complete) == (True, False)
    assert failed.estimate(OOD) is None
    assert [run.status for run in failed.known] == ["failed"]
    assert (len(failed.specs), len(failed.finished)) == (2, 0)


def test_no_number_of_an_incomplete_cell_or_row_is_shown_anywhere() -> None:
    state = state_of(status=half_done)
    over = compared(state)
    complete, half = over.cells[(0.0,), FLUENT], over.cells[(0.0,), NOTO]
    assert (len(half.results), len(half.specs)) == (1, 2)
    assert (half.estimate(ID), half.estimate(OOD), half.worst) == (None, None, None)
    assert complete.worst is not None
    assert [point.name for point, _ in target_points(over, ("dropout_rate",))] == ["λ 0 → fluent"]
    table = str(study_table(over, ("dropout_rate",), OWN_ARM, 100)).splitlines()
    assert [line.split() for line in table[-2:]] == [
        ["0", "80.0/51.0±1.4", "1/2", "·", "·"],
        ["0.9", "1/2", "·", "·", "·"],
    ]
    assert state.standing is not None
    assert result_lines_of(state)[-2:] == [
        ["0", "80.0/51.0±1.4", "1/2", "3/4"],
        ["0.9", "1/2", "·", "1/4"],
    ]
    axes = Axes("dropout_rate", "target")
    for measure in ("ood", "id", "gap", "worst"):
        heat_map = study_map(grid(state, *axes), axes, measure, OWN_ARM)
        shown = [[cell.whole for cell in row] for row in heat_map.cells]
        assert shown[0][1:] + shown[1] == ["1/2 ●25%", "1/2 ◌", "✗1"]
        assert [cell.share for row in heat_map.cells for cell in row] == [0.5, None, None, None]
    lines = [line for line in write_lines(state) if line["finished"] == "1"]
    assert lines
    for line in lines:
        assert {line[name] for name in ("id_accuracy", "ood_accuracy", "worst_domain")} == {""}


def result_lines_of(state: StudyState) -> list[list[str]]:
    assert state.standing is not None
    return [line.split() for line in result_lines(state.standing, None)]


def test_colours_compare_the_cells_of_a_column_where_that_is_chosen() -> None:
    axes = Axes("dropout_rate", "target")
    by_column = study_map(grid(state_of(), *axes), axes, "ood", OWN_ARM, is_by_column=True)
    assert [[cell.share for cell in row] for row in by_column.cells] == [[0.0, 0.0], [1.0, 1.0]]
    assert (by_column.low, by_column.high) == ("worst", "best of column")
    whole = study_map(grid(state_of(), *axes), axes, "ood", OWN_ARM)
    assert [cell.share for cell in whole.cells[0]] == [0.0, pytest.approx(0.05 / 0.14)]


def test_the_number_of_seeds_is_said_once_where_cells_agree() -> None:
    axes = Axes("dropout_rate", "target")
    heat_map = study_map(grid(state_of(), *axes), axes, "ood", OWN_ARM)
    assert heat_map.title == "OOD accuracy by target, mean ± sd over 2 seeds"
    assert {cell.remark for row in heat_map.cells for cell in row} == {""}


def test_it_says_what_the_results_of_a_study_say() -> None:
    state = state_of(status=half_done)
    assert state.standing is not None
    assert grid_so_far(state.standing).cells == compared(state).cells


def test_runs_with_a_source_held_out_stand_nowhere() -> None:
    study = read(RATES.text.replace("[fields]", "leave_one_source_out = true\n[fields]"))
    assert len(study.specs) > len(study.main_specs)
    found = grid(state_of(study), "dropout_rate", "target")
    assert sum(len(cell.specs) for cell in found.cells.values()) == len(study.main_specs)


def test_the_table_has_a_line_for_each_setting_target_and_arm() -> None:
    file = io.StringIO()
    assert write_table(state_of(), file) == 8
    records = list(csv.DictReader(io.StringIO(file.getvalue())))
    (record,) = (
        each
        for each in records
        if (each["dropout_rate"], each["target"], each["arm"]) == ("0.9", "noto", "averaged")
    )
    assert (record["seeds"], record["finished"], record["runs"]) == ("2", "2", "2")
    assert float(record["ood_accuracy"]) == pytest.approx(0.66)
    assert float(record["ood_accuracy_deviation"]) == pytest.approx(0.0141, abs=1e-4)
    assert record["worst_domain"] == "noto"


def test_runs_without_a_target_have_an_id_accuracy_alone() -> None:
    state = state_of(read(RATES.text.replace('["fluent", "noto"]', '["none", "noto"]')))
    cell = compared(state).cells[(0.9,), ("emoji", "none")]
    assert mean(cell, ID) == pytest.approx(0.8)
    assert [cell.estimate(each) for each in (OOD, USUAL["gap"])] == [None, None]
    lines = write_lines(state)
    assert {line["target"]: line["ood_accuracy"] for line in lines}["none"] == ""
    assert {(line["seeds"], line["finished"]) for line in lines} == {("2", "2")}
    table = str(study_table(compared(state), ("dropout_rate",), OWN_ARM, 100)).splitlines()
    assert table[-1].split() == [
        "0.9", "80.0/–", "80.0/65.0±1.4▾", "80.0/65.0±1.4", "65.0", "noto",
    ]  # fmt: skip
    assert {point.target for point, _ in target_points(compared(state), ("dropout_rate",))} == {
        "noto"
    }
    means = [point for point, _ in mean_points(compared(state), ("dropout_rate",))]
    assert [round(point.ood_accuracy, 3) for point in means] == [0.56, 0.65]
    assert runs_without_ood(compared(state)) == 4
    assert state.standing is not None
    assert " 80.0/– " in "\n".join(result_lines(state.standing, None))
    heat_map = study_map(
        grid(state, "dropout_rate", "target"), Axes("dropout_rate", "target"), "ood", OWN_ARM
    )
    assert [[cell.text for cell in row] for row in heat_map.cells][1] == ["–", "65.0±1.4"]
    only_none = state_of(read(RATES.text.replace('["fluent", "noto"]', '["none"]')))
    assert not list(mean_points(compared(only_none), ("dropout_rate",)))
    assert "80.0/–" in str(study_table(compared(only_none), ("dropout_rate",), OWN_ARM, 100))


def write_lines(state: StudyState) -> list[dict[str, str]]:
    file = io.StringIO()
    write_table(state, file)
    return list(csv.DictReader(io.StringIO(file.getvalue())))


def test_the_table_of_a_study_that_cannot_be_read_is_empty() -> None:
    assert write_table(StudyState("gone", problem="no such file"), io.StringIO()) == 0
