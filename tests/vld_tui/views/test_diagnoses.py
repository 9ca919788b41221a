"""Diagnoses as drawn: values in their units, long tables left out, what is missing."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
import pytest

from engine.protocol import MEASURES, Summary, resolve_spec
from engine.protocol.diagnostics import Finding, FindingTable, diagnostics_of
from engine.protocol.intervals import Interval
from engine.rundir import StoredDiagnoses
from tests.made_diagnoses import make_diagnosis
from vld_tui.runs.diagnoses import diagnosis_record
from vld_tui.runs.run import Run
from vld_tui.store.store import Store
from vld_tui.views.diagnoses import (
    MOST_ROWS,
    diagnoses_text,
    diagnosis_list,
    measures_table,
    scratch_lines,
)
from vld_tui.words.numbers import percent, plain_number


def diagnosed(store: Store, measures: Summary, of_id: float = 0.8) -> Run:
    run = store.runs.create(resolve_spec({}), name="run")
    return msgspec.structs.replace(
        run, measures=measures, id_accuracy=of_id, ood_accuracy=0.5, status="finished"
    )


def test_a_table_of_runs_has_each_value_in_its_unit(store: Store) -> None:
    run = diagnosed(store, {"rank_me": (69.14, 484.0), "cka": (0.5, None)})
    heading, row = measures_table([run], "rich", 120).plain.splitlines()
    assert heading.split() == [
        "run",
        "λ",
        "ID",
        "OOD",
        "ID",
        "RankMe",
        "OOD",
        "RankMe",
        "ID",
        "CKA",
    ]
    assert row.split()[-5:] == ["80.0%", "50.0%", "69.1", "484", "50.0%"]


def runs_with_many_measures(store: Store, count: int) -> list[Run]:
    names = [each.name for group in diagnostics_of("rich") for each in group.measures]
    measures: Summary = {name: (at + 0.1234, at + 0.5678) for at, name in enumerate(names)}
    return [
        msgspec.structs.replace(diagnosed(store, measures), name=f"run{at}") for at in range(count)
    ]


def whole_headings(runs: Sequence[Run]) -> list[str]:
    heading = measures_table(runs, "rich", None).plain.splitlines()[0]
    return re.split(" {2,}", heading)[1:]


@pytest.mark.parametrize(("count", "cells"), [(3, 80), (3, 50), (20, 80), (20, 40)])
def test_a_table_of_runs_shows_every_measure_in_any_width(
    store: Store, count: int, cells: int
) -> None:
    runs = runs_with_many_measures(store, count)
    headings = whole_headings(runs)
    assert len(headings) > 8
    text = measures_table(runs, "rich", cells).plain
    assert all(heading in text for heading in headings)
    assert max(map(len, text.splitlines())) <= cells
    assert all(text.count(f"{run.name} ") or text.count(f"{run.name}\n") for run in runs)


@pytest.mark.parametrize("cells", [60, 80, 120, None])
def test_runs_of_the_same_name_are_distinguished_by_their_settings(
    store: Store, cells: int | None
) -> None:
    measures: Summary = {each.name: (0.5, 0.5) for each in diagnostics_of("rich")[0].measures}
    name = "emoji-fluent-mono-d0.5-m8-s0"
    made = [
        store.runs.create(resolve_spec({"objective": each}), name=name)
        for each in ("erm", "coral", "vrex", "vrex")
    ]
    runs = [
        msgspec.structs.replace(store.runs.get(each.run_id), measures=measures) for each in made
    ]
    rows = measures_table(runs, "rich", cells).plain.split("\n\n")[0].splitlines()[1:]
    labels = [row.split("  ")[0] for row in rows]
    assert len({*labels}) == 4
    for label, objective in zip(labels, ("erm", "coral", "vrex", "vrex"), strict=True):
        assert objective in label


def test_few_runs_are_columns_where_their_measures_do_not_fit(store: Store) -> None:
    runs = runs_with_many_measures(store, 3)
    lines = measures_table(runs, "rich", 80).plain.splitlines()
    assert lines[0].split() == ["run", *" ".join(run.label for run in runs).split()]
    assert len(lines) == 1 + len(whole_headings(runs))
    assert lines[2].split() == ["ID", *["80.0%"] * 3]


@pytest.mark.parametrize("cells", [10, 30, 40, 80, None])
def test_a_diagnosis_shows_every_measure_in_any_width(cells: int | None) -> None:
    names = ("auroc_msp", "auroc_energy", "auroc_knn", "auroc_mahalanobis", "fpr95_msp")
    findings = tuple(
        Finding("noto", "out", name, 0.5, Interval(0.1234 + at / 10, 0.6), 90)
        for at, name in enumerate(names)
    )
    scores = msgspec.structs.replace(make_diagnosis(), findings=findings)
    text = diagnoses_text([scores], cells).plain
    for at, name in enumerate(names):
        shown = plain_number if name in MEASURES else percent
        assert shown(0.1234 + at / 10) in text
    assert "90" in text
    if cells is None:
        assert text.count("noto") == 1


def test_a_diagnosis_in_full(store: Store) -> None:
    text = diagnoses_text([make_diagnosis()], 100).plain
    assert "RankMe before training" in text
    assert "50.0% (40.0%–60.0%)" in text
    assert "A curve\n" in text
    assert text.endswith("A note.")
    below = Finding("art", "in", "effective_robustness", -0.031, Interval(-0.06, -0.01), 80)
    changed = msgspec.structs.replace(make_diagnosis(), findings=(below,))
    assert "−3.1% (−6.0% to −1.0%)" in diagnoses_text([changed], 100).plain
    long = diagnoses_text([make_diagnosis(rows=MOST_ROWS + 1)], 100).plain
    assert "A curve: see vld rich --json" in long


def test_an_area_under_a_curve_is_a_number_and_no_share() -> None:
    area = Finding("noto", "out", "target_auc", 0.98, Interval(0.97, 0.99), 90)  # stored as a share
    diagnosis = msgspec.structs.replace(
        make_diagnosis(), findings=(area,), values={"target_auc": (None, 0.98)}
    )
    assert "0.980 (0.970–0.990)" in diagnoses_text([diagnosis], 100).plain
    assert "0.980" in diagnosis_list(StoredDiagnoses({"probe": diagnosis}), 10, 100).plain


def test_mistakes_are_a_whole_number() -> None:
    found = Finding("noto", "in", "mistakes", 7.0, None, 39, "number")
    diagnosis = msgspec.structs.replace(make_diagnosis(), findings=(found,), tables={})
    text = diagnoses_text([diagnosis], 100).plain
    assert re.search(r"noto +in +7 +39", text)


def test_a_domain_named_like_a_column_keeps_its_values_in_records() -> None:
    rows = (("art", 0.0, 1.0), ("domain", 1.0, 0.0))
    columns = ("domain", "art", "domain")
    table = FindingTable("Distances between domains", columns, rows)
    diagnosis = msgspec.structs.replace(make_diagnosis(), tables={"between": table})
    assert diagnosis_record(diagnosis)["tables"]["between"]["rows"] == [
        {"domain": "art", "art": 0.0, "domain (2)": 1.0},
        {"domain": "domain", "art": 1.0, "domain (2)": 0.0},
    ]


def test_a_list_shows_values_of_another_step_and_damage() -> None:
    stored = StoredDiagnoses({"rank": make_diagnosis(step=20)}, {"units": "cut off"})
    lines = diagnosis_list(stored, 10, 100).plain.splitlines()
    assert lines[1].split(maxsplit=3) == ["RankMe", "69.1", "–", "of step 20, not the selected one"]
    assert lines[2] == "units.json cannot be read: cut off"


def test_runs_from_scratch_are_asked_for_with_a_command(store: Store) -> None:
    run = store.runs.create(resolve_spec({"dataset": "emoji", "target": "noto"}), name="run")
    reason = "The ID accuracies of the 6 runs from scratch differ by less than 3 points."
    robustness = msgspec.structs.replace(make_diagnosis(), notes=(reason,))
    *_, command = scratch_lines(run, None)
    assert command.strip() == "vld sweep paper-ask --data emoji"
    assert [*scratch_lines(run, robustness)] == [reason, *scratch_lines(run, None)]
