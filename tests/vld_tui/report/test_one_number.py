"""A quantity is the same number wherever it is shown, in a study of which runs are missing too."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from benchmarks.filled_study import fill_study
from engine.protocol import RunSpec
from vld_tui.control.records import table_records
from vld_tui.dashboard.draw.study import mean_points
from vld_tui.home import Home
from vld_tui.report.content import Report, make_report, report_record
from vld_tui.report.tables import csv_text
from vld_tui.store.store import Store
from vld_tui.study.define.files import find_text, keep_study
from vld_tui.study.results.cells import (
    OWN_ARM,
    StudyCell,
    compared_grid,
    grid_so_far,
    varying_fields,
)
from vld_tui.study.results.outcomes import ID, OOD, gather, grouped, mean_accuracies
from vld_tui.study.results.state import StudyReader, StudyState

STUDY = """
name = "rates"
data = ["emoji"]
choose = ["lr"]
seeds = 5

[domains]
emoji = ["fluent", "fluent-mono", "noto"]

[fields]
steps = 20
arms = ["averaged"]
average_from = 10

[cross]
target = "all"
dropout_rate = [0.0, 0.5, 0.9]
lr = [1e-3, 5e-4]
"""


def is_missing(spec: RunSpec) -> bool:
    """Say whether a run is not there yet: two, and a whole cell of one target."""
    place = (spec.target, spec.dropout_rate, spec.lr, spec.seed)
    two = (("fluent", 0.0, 1e-3, 1), ("fluent-mono", 0.5, 5e-4, 3))
    return place in two or place[:3] == ("noto", 0.9, 5e-4)


EXACT = 1e-12
WITHHELD = (
    "id_accuracy", "id_accuracy_deviation", "ood_accuracy", "ood_accuracy_deviation",
    "worst_domain", "worst_domain_accuracy",
)  # fmt: skip
"""Columns without a value while runs are missing."""

Row = Mapping[str, Any]


class Shown(NamedTuple):
    """What a study's outputs are made of."""

    report: Report
    tables: dict[str, list[dict[str, Any]]]
    state: StudyState

    def row(self, table: str, **place: object) -> Row:
        """Return the only row of a table at a place."""
        (found,) = (
            row
            for row in self.tables[table]
            if all(row[key] == value for key, value in place.items())
        )
        return found


def show(home: Home, folder: Path, *, is_complete: bool) -> Shown:
    """Run a study, all of it or not, and read it in every way."""
    file = folder / "rates.toml"
    file.write_text(STUDY)
    text = find_text(home, str(file))
    study = text.read(home)
    keep_study(home, study, text)
    specs = [spec for spec in study.specs if is_complete or not is_missing(spec)]
    fill_study(home, study, specs=specs, arms=("averaged",))
    with Store.open(home) as store:
        report = make_report(gather(store, study), [], [], made_at=0.0, version="1")
        state = StudyReader(home).open(store, "rates")
    return Shown(report, report_record(report)["tables"], state)


@pytest.fixture
def shown(home: Home, tmp_path: Path) -> Shown:
    return show(home, tmp_path, is_complete=False)


def setting_of(rate: float, arm: str = OWN_ARM) -> str:
    return f"λ {rate:g}" + ("" if arm == OWN_ARM else f" · {arm}")


def cells(shown: Shown, arm: str) -> dict[tuple[Any, Any], StudyCell]:
    assert shown.state.standing is not None
    varying = varying_fields(shown.state.standing.study)
    return dict(compared_grid(shown.state, arm=arm, varying=varying).cells)


@pytest.mark.parametrize("arm", [OWN_ARM, "averaged"])
def test_the_report_has_the_numbers_of_the_study_s_screen(shown: Shown, arm: str) -> None:
    found = cells(shown, arm)
    assert len(found) == 9
    assert not all(cell.is_complete for cell in found.values())
    for ((rate,), (_, target)), cell in found.items():
        row = shown.row("results", target=target, setting=setting_of(rate, arm))
        if not cell.is_complete:
            assert (cell.estimate(ID), cell.estimate(OOD), cell.worst) == (None, None, None)
            assert {row[key] for key in WITHHELD} == {None}
            continue
        for quantity in (ID, OOD):
            known, key = cell.estimate(quantity), quantity.key
            assert known is not None
            assert row[key] == pytest.approx(known.mean, abs=EXACT)
            assert row[f"{key}_deviation"] == pytest.approx(known.deviation, abs=EXACT)
            assert row[f"{key}_standard_error"] == pytest.approx(known.standard_error, abs=EXACT)
            assert row[f"{key}_seeds"] == known.n
        assert cell.worst is not None
        domain, worst = cell.worst
        assert row["worst_domain"] == domain
        assert row["worst_domain_accuracy"] == pytest.approx(worst.mean, abs=EXACT)


def test_the_accuracy_of_the_worst_domain_is_that_of_the_target_where_it_is_the_target(
    shown: Shown,
) -> None:
    rows = [row for row in shown.tables["results"] if row["worst_domain"] == row["target"]]
    assert rows
    for row in rows:
        assert row["worst_domain_accuracy"] == row["ood_accuracy"]


def test_the_table_of_the_screen_has_the_numbers_of_the_report(shown: Shown) -> None:
    records = list(table_records(shown.state))
    assert len(records) == 18
    for record in records:
        rate, arm = float(record["dropout_rate"]), record["arm"]
        row = shown.row("results", target=record["target"], setting=setting_of(rate, arm))
        for key in ("ood_accuracy", "ood_accuracy_deviation", "id_accuracy",
                    "id_accuracy_deviation", "worst_domain_accuracy"):  # fmt: skip
            known = row[key] if row[key] is None else pytest.approx(row[key], abs=EXACT)
            assert record[key] == known, key
        assert (record["worst_domain"], record["finished"]) == (row["worst_domain"], row["runs"])


def test_the_status_of_the_study_has_the_numbers_of_the_report(shown: Shown) -> None:
    assert shown.state.standing is not None
    for (values, (_, target)), cell in grid_so_far(shown.state.standing).cells.items():
        row = shown.row("results", target=target, setting=setting_of(*values))
        assert row["runs"] == len(cell.finished)
        ids, oods = cell.estimate(ID), cell.estimate(OOD)
        if not cell.is_complete:
            assert (ids, oods, row["ood_accuracy"]) == (None, None, None)
            continue
        assert ids is not None
        assert oods is not None
        assert row["ood_accuracy"] == pytest.approx(oods.mean, abs=EXACT)
        assert row["id_accuracy"] == pytest.approx(ids.mean, abs=EXACT)
        assert row["ood_accuracy_deviation"] == pytest.approx(oods.deviation, abs=EXACT)


@pytest.mark.parametrize("arm", [OWN_ARM, "averaged"])
def test_the_mean_of_targets_is_the_centre_and_that_of_the_screen(
    home: Home, tmp_path: Path, arm: str
) -> None:
    shown = show(home, tmp_path, is_complete=True)
    found = cells(shown, arm)
    for rate in (0.0, 0.5, 0.9):
        setting = setting_of(rate, arm)
        centre = shown.row("centres", setting=setting)
        (mean,) = (
            row
            for row in shown.tables["results"]
            if row["setting"] == setting and row["target"].startswith("mean of 3 ")
        )
        joined = StudyCell.joined([cell for ((r,), _), cell in found.items() if r == rate])
        for quantity in (ID, OOD):
            known, key = joined.estimate(quantity), quantity.key
            assert known is not None
            assert centre[key] == mean[key] == pytest.approx(known.mean, abs=EXACT)
            assert centre[f"{key}_half_interval"] == pytest.approx(known.half_interval, abs=EXACT)
            assert centre[f"{key}_deviation"] == pytest.approx(known.deviation, abs=EXACT)
            assert mean[f"{key}_deviation"] == pytest.approx(known.deviation, abs=EXACT)
        assert joined.worst is not None
        domain, worst = joined.worst
        assert mean["worst_domain"] == domain
        assert mean["worst_domain_accuracy"] == pytest.approx(worst.mean, abs=EXACT)


def test_no_mean_of_a_setting_with_missing_runs_is_shown(shown: Shown) -> None:
    means = [row for row in shown.tables["results"] if row["target"].startswith("mean of 3")]
    rows = [*shown.tables["centres"], *means]
    assert len(rows) == 12
    for row in rows:
        assert {row[key] for key in WITHHELD if key in row} == {None}
    assert shown.report.clouds == ()


def test_a_change_is_the_same_in_both_tables(shown: Shown) -> None:
    rows = shown.tables["differences"]
    changes = [shown.row("centres", setting=row["setting"])["ood_change"] for row in rows]
    assert [change is None for change in changes] == [False, True, False, False, True]
    for row, change in zip(rows, changes, strict=True):
        assert change in (None, row["ood_difference"])
        low, high = row["seeds_interval_low"], row["seeds_interval_high"]
        assert (low + high) / 2 == pytest.approx(row["ood_difference"], abs=EXACT)
        low, high = row["interval_low"], row["interval_high"]
        assert (low + high) / 2 == pytest.approx(row["ood_difference"], abs=EXACT)


def test_what_is_chosen_has_the_accuracies_of_its_cell(shown: Shown) -> None:
    cells_of = grouped(
        shown.report.results,
        lambda each: (each.target, each.setting.label, shown.report.design.cell_words(each.cell)),
    )
    by_id = [row for row in shown.tables["choices"] if row["method"] == "ID validation"]
    assert by_id
    for choice in by_id:
        alike = cells_of[choice["target"], choice["setting"], choice["cell"]]
        ids, oods = mean_accuracies(alike)
        assert (choice["id_accuracy"], choice["ood_accuracy"]) == (ids, oods)
        assert choice["score"] == ids


def test_csv_has_what_json_has(shown: Shown) -> None:
    for table in shown.report.tables:
        read = list(csv.DictReader(io.StringIO(csv_text(table), newline="")))
        known = shown.tables[table.name]
        as_text = [{key: "" if v is None else str(v) for key, v in row.items()} for row in known]
        assert read == as_text


def test_points_of_the_plane_are_the_centres(home: Home, tmp_path: Path) -> None:
    whole = show(home, tmp_path, is_complete=True)
    assert whole.state.standing is not None
    study = whole.state.standing.study
    grid = compared_grid(whole.state, arm=OWN_ARM, varying=varying_fields(study))
    points = [point for point, _ in mean_points(grid, study.compare)]
    assert len(points) == 3
    for point, rate in zip(points, (0.0, 0.5, 0.9), strict=True):
        row = whole.row("centres", setting=setting_of(rate))
        assert point.id_accuracy == pytest.approx(row["id_accuracy"], abs=EXACT)
        assert point.ood_accuracy == pytest.approx(row["ood_accuracy"], abs=EXACT)


def test_a_change_is_the_difference_of_the_centres_where_no_run_is_missing(
    home: Home, tmp_path: Path
) -> None:
    whole = show(home, tmp_path, is_complete=True)
    (base, *_) = whole.tables["centres"]
    for row in whole.tables["differences"]:
        centre = whole.row("centres", setting=row["setting"])
        for key in ("id", "ood"):
            change = centre[f"{key}_accuracy"] - base[f"{key}_accuracy"]
            assert centre[f"{key}_change"] == pytest.approx(change, abs=EXACT)
        assert row["ood_difference"] == centre["ood_change"]
