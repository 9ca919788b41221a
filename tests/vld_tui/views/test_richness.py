"""The drawings of calibration, kept units and singular values."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from rich.text import Text

from engine.protocol.diagnostics import Cell, Diagnosis, Finding, FindingTable
from vld_tui.views.diagnosis_drawing import diagnosis_drawing
from vld_tui.views.legend import Line
from vld_tui.views.richness import (
    ConfidenceBin,
    KeptShare,
    KeptUnitsCurve,
    ReliabilityCurve,
    SpectrumCurve,
    kept_units_plot,
    reliability_diagram,
    reliability_plot,
    spectrum_plot,
)
from vld_tui.words.palette import ID_STYLE, OOD_STYLE
from vld_tui.words.text import width


def text(lines: Iterable[Line]) -> list[str]:
    return ["".join(segment.text for segment in line) for line in lines]


def curve(name: str = "OOD", *, accuracy: float = 0.5) -> ReliabilityCurve:
    bins = [
        ConfidenceBin(0.0, 0.25, 0, None, None),
        ConfidenceBin(0.25, 0.5, 10, 0.4, 0.4),
        ConfidenceBin(0.5, 0.75, 20, 0.6, 0.5),
        ConfidenceBin(0.75, 1.0, 80, 0.9, accuracy),
    ]
    return ReliabilityCurve(name, bins, 0.2345, OOD_STYLE)


def test_a_reliability_diagram_has_both_axes_whole_a_diagonal_and_the_error() -> None:
    lines = text(reliability_diagram([curve()], 60, 20))
    assert len(lines) == 20
    assert all(width(line) <= 60 for line in lines)
    assert "ECE 23.4% OOD" in lines[1]
    labels = [line[:7].strip("┤│ ") for line in lines[2:-2]]
    assert [each for each in labels if each] == ["100%", "80%", "60%", "40%", "20%", "0%"]
    assert lines[-2].split() == ["0", "20", "40", "60", "80", "100"]
    corner = [line[7:].rstrip() for line in lines if line.startswith(("   100%┤", "     0%┤"))]
    assert all(corner), "the diagonal goes from corner to corner"


def test_marks_stand_at_confidence_and_accuracy() -> None:
    lines = text(reliability_diagram([curve(accuracy=0.9)], 60, 20))[2:-2]
    [row] = [at for at, line in enumerate(lines) if line[7:].rfind("●") > 44]
    assert lines[row].rfind("●") - 7 == round(0.9 * 52)
    assert row == round((1 - 0.9) * (len(lines) - 1))


def test_bars_below_show_the_images_of_each_bin() -> None:
    *_, strip = text(reliability_diagram([curve()], 60, 20))
    assert strip.startswith("OOD    ")
    quarters = [{*strip[7:][start : start + 13]} for start in (0, 14, 27, 40)]
    assert quarters[0] == {" "}
    heights = [ord(each.pop()) for each in quarters[1:]]
    assert heights == sorted(heights)
    assert heights[0] < heights[-1]


def test_a_low_diagram_has_no_bars() -> None:
    lines = text(reliability_diagram([curve("ID"), curve()], 60, 9))
    assert len(lines) == 9
    assert not any("bars" in line for line in lines)


def test_nothing_measured_is_said() -> None:
    empty = ReliabilityCurve("ID", [ConfidenceBin(0, 1, 0, None, None)], None, ID_STYLE)
    for plot in (
        reliability_plot([empty]),
        kept_units_plot([]),
        spectrum_plot([SpectrumCurve("ID", [0.0, 0.0], None, ID_STYLE)]),
    ):
        assert plot.is_empty
        assert text(plot.lines(60, 10))[0].endswith("not measured yet")


def test_kept_units_are_drawn_by_share_with_bounds_and_the_accuracy_at_a_tenth() -> None:
    points = [KeptShare(1.0, 0.8), KeptShare(0.1, 0.61, 0.05), KeptShare(0.01, 0.2, 0.1)]
    plot = kept_units_plot([KeptUnitsCurve("ID", points, ID_STYLE)])
    low, high, mean = plot.series
    assert low.is_bound
    assert high.is_bound
    assert mean.x.tolist() == [1, 10, 100]
    assert (high.y - mean.y).tolist() == pytest.approx([0.1, 0.05, 0])
    assert (low.y + high.y).tolist() == pytest.approx((2 * mean.y).tolist())
    lines = text(plot.lines(60, 16))
    assert "61.0% at 10% ID" in lines[0] + lines[1]
    assert lines[-1].split() == ["1", "10", "100"]


def test_one_mask_has_no_bounds() -> None:
    plot = kept_units_plot([KeptUnitsCurve("ID", [KeptShare(1.0, 0.8)], ID_STYLE)])
    assert [each.is_bound for each in plot.series] == [False]


def test_singular_values_are_relative_to_the_largest() -> None:
    plot = spectrum_plot([SpectrumCurve("ID", [8.0, 4.0, 2.0, 0.0], 2.61, ID_STYLE)])
    assert plot.series[0].y.tolist() == [1, 0.5, 0.25]
    assert "RankMe 2.6 ID" in text(plot.lines(60, 12))[0]


def test_names_cannot_forge_styles() -> None:
    lines = text(reliability_diagram([curve("[red]\x1b[31mx")], 60, 20))
    assert not any("\x1b" in line for line in lines)


def diagnosis(
    name: str, table: str, columns: tuple[str, ...], *rows: tuple[Cell, ...]
) -> Diagnosis:
    findings = (
        Finding("photo", "out", "rank_me", 12.3),
        Finding("sketch", "in", "rank_me", 7.8),
        Finding("photo", "out", "calibration_error", 0.1),
        Finding("clipart", "out", "calibration_error", 0.2),
        Finding("sketch", "in", "calibration_error", 0.3),
    )
    return Diagnosis(
        diagnostic=name, arm="erm", step=1, checkpoint="", data_digest="", findings=findings,
        values={"rank_me": (12.3, 7.8)}, tables={table: FindingTable("", columns, rows)},
    )  # fmt: skip


def drawn(of: Diagnosis, cells: int = 70) -> list[str]:
    found = diagnosis_drawing(of, cells)
    assert isinstance(found, Text)
    lines = found.plain.split("\n")
    assert all(width(line) <= cells for line in lines)
    return lines


def test_a_spectrum_is_drawn_for_each_domain_with_its_rank() -> None:
    columns = ("direction", "photo", "sketch")
    rows: list[tuple[Cell, ...]] = [(1, 1.0, 1.0), (10, 0.1, 0.05), (100, 0.01, None)]
    of = diagnosis("rank", "spectrum", columns, *rows)
    head = " ".join(drawn(of)[:2])
    assert "RankMe 12.3 photo" in head
    assert "RankMe 7.8 sketch" in head
    found = diagnosis_drawing(of, 70)
    assert found is not None
    assert OOD_STYLE.lower() in {str(span.style) for span in found.spans}, (
        "the target has the OOD colour"
    )


def test_kept_units_are_drawn_from_a_diagnosis() -> None:
    columns = ("units kept", "units", "photo", "photo sd", "sketch", "sketch sd")
    rows: list[tuple[Cell, ...]] = [
        ("100%", 200, 0.9, None, 0.7, None),
        ("10%", 20, 0.8, 0.02, 0.5, 0.03),
        ("1%", 2, 0.3, 0.1, 0.2, 0.1),
    ]
    lines = drawn(diagnosis("units", "shares", columns, *rows))
    assert "80.0% at 10% photo" in lines[0] + lines[1]
    assert "50.0% at 10% sketch" in lines[0] + lines[1]
    assert lines[-1].split() == ["1", "2", "5", "10", "20", "50", "100"]


def test_reliability_is_drawn_with_the_mean_error_of_the_sources() -> None:
    columns = ("above", "up to", "images", "mean confidence", "accuracy")
    rows: list[tuple[Cell, ...]] = [(0.4, 0.5, 10, 0.45, 0.5), (0.9, 1.0, 90, 0.97, 0.9)]
    lines = drawn(diagnosis("calibration", "source", columns, *rows))
    assert "ECE 15.0% ID" in lines[0] + lines[1]
    assert lines[-1].startswith("ID ")
    target = drawn(diagnosis("calibration", "target", columns, *rows))
    assert "ECE 30.0% OOD" in target[0] + target[1]


@pytest.mark.parametrize(
    ("name", "table"),
    [("rank", "spectrum"), ("units", "shares"), ("calibration", "source"), ("nc1", "any")],
)
@pytest.mark.parametrize(
    "rows", [(), ((),), (("x",),), (("x", None, "y", "z", "v"),), ((float("nan"),) * 5,)]
)
def test_tables_of_another_version_are_not_drawn(
    name: str, table: str, rows: tuple[tuple[Cell, ...], ...]
) -> None:
    of = diagnosis(name, table, ("a", "b", "c", "d", "e"), *rows)
    assert diagnosis_drawing(of, 70) is None


def test_a_narrow_terminal_has_no_drawing() -> None:
    row: tuple[Cell, ...] = (0.4, 0.5, 10, 0.45, 0.5)
    of = diagnosis("calibration", "source", ("a", "b", "c", "d", "e"), row)
    assert diagnosis_drawing(of, 30) is not None
    assert diagnosis_drawing(of, 10) is None
