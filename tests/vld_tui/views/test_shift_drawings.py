"""The drawings of a shift: risk–coverage curves, and the heat map of distances."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from rich.text import Text

from engine.protocol.diagnostics import Cell, Diagnosis, FindingTable
from vld_tui.views.diagnosis_drawing import diagnosis_drawing
from vld_tui.words.text import width

RISKS = FindingTable(
    "", ("kept", "msp", "energy"), ((0.25, 0.0, 0.1), (0.5, 0.1, 0.2), (1.0, 0.4, 0.4))
)
SCORES = FindingTable(
    "", ("score", "AUROC", "risk–coverage area"), (("msp", 0.9, 0.125), ("energy", 0.8, None))
)
NAMES = ("clipart", "a domain with a long name", "emoji")


def diagnosis(name: str, **tables: FindingTable) -> Diagnosis:
    return Diagnosis(
        diagnostic=name, arm="erm", step=1, checkpoint="", data_digest="", tables=tables
    )


def matrix(names: Sequence[str] = NAMES) -> FindingTable:
    rows: list[tuple[Cell, ...]] = [
        (name, *(abs(at - column) / 10 for column in range(len(names))))
        for at, name in enumerate(names)
    ]
    return FindingTable("", ("domain", *names), tuple(rows))


def drawn(of: Diagnosis, cells: int = 70) -> tuple[Text, list[str]]:
    found = diagnosis_drawing(of, cells)
    assert found is not None
    lines = found.plain.split("\n")
    assert all(width(line) <= cells for line in lines)
    return found, lines


def test_risk_coverage_has_a_curve_for_each_score_with_its_area() -> None:
    _, lines = drawn(diagnosis("detection", risk_coverage=RISKS, scores=SCORES))
    head = " ".join(lines[:3])
    assert "error rate by images kept" in head
    assert "area 0.125 msp" in head
    assert "energy" in head
    assert lines[-1].split()[-1] == "100"


def test_distances_are_brighter_the_farther_apart_two_domains_are() -> None:
    text, lines = drawn(diagnosis("distances", between=matrix()))
    assert [line.split()[-3:] for line in lines[1:]] == [
        ["–", "0.10", "0.20"],
        ["0.10", "–", "0.10"],
        ["0.20", "0.10", "–"],
    ]
    assert "clipart" in lines[0]
    assert len(lines[0].rstrip()) == len(lines[1].rstrip())  # a name ends where its values end
    styles = {text.plain[span.start : span.end].strip(): str(span.style) for span in text.spans}
    assert styles["0.20"] != styles["0.10"]
    assert "–" not in styles


def test_a_matrix_that_does_not_fit_is_left_to_its_table() -> None:
    wide = diagnosis("distances", between=matrix([f"domain {at}" for at in range(12)]))
    assert diagnosis_drawing(wide, 60) is None
    drawn(wide, 120)


@pytest.mark.parametrize(
    "rows", [(), ((),), (("x",),), (("x", None, "y"),), ((float("nan"),) * 3,)]
)
@pytest.mark.parametrize("table", ["risk_coverage", "between", "scores"])
def test_tables_of_another_version_do_no_harm(
    table: str, rows: tuple[tuple[Cell, ...], ...]
) -> None:
    broken = {table: FindingTable("", ("a", "b", "risk–coverage area"), rows)}
    for name, whole in (("detection", {"risk_coverage": RISKS}), ("distances", {})):
        diagnosis_drawing(diagnosis(name, **{**whole, **broken}), 70)
