"""Curves with their axes and legend, as text."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rich.style import Style

from vld_tui.views.plot import GAP_MARK, Plot, PlotSeries, View
from vld_tui.views.raster import PlotAxis
from vld_tui.words.text import width

STEPS = np.array([0.0, 50, 100, 150, 200])
RISING = PlotSeries("OOD", STEPS, np.array([0.3, 0.4, 0.45, 0.5, 0.5]), "dark_orange", 150)
FLAT = PlotSeries("ID", STEPS, np.array([0.6, 0.6, np.nan, 0.6, 0.6]), "dodger_blue1")


def text(plot: Plot, cells: int = 60, rows: int = 12) -> list[str]:
    return ["".join(segment.text for segment in line) for line in plot.lines(cells, rows)]


def test_a_plot_has_legend_labels_and_steps() -> None:
    lines = text(Plot("accuracy", (FLAT, RISING), is_percent=True))
    assert len(lines) == 12
    assert lines[0] == "accuracy  last  60.0% ID  50.0% OOD  ┊ 150"
    assert [line[:7] for line in lines if "%┤" in line] == [
        "   60%┤",
        "   50%┤",
        "   40%┤",
        "   30%┤",
    ]
    assert lines[-1].split() == ["0", "50", "100", "150", "200"]
    assert all(len(line) <= 60 for line in lines)


def test_the_marked_step_stands_as_a_line() -> None:
    lines = text(Plot("OOD", (RISING,)))
    column = 7 + round(150 / 200 * 52)
    assert sum(line[column] == "┊" for line in lines[1:-1]) >= 8


def test_a_marked_step_0_stands_as_a_line_too() -> None:
    accuracy = replace(RISING, marked_x=0)
    loss = replace(accuracy, x=STEPS[1:], y=RISING.y[1:])  # nothing is lost before the first step
    for series in (accuracy, loss):
        lines = text(Plot("it", (series,)))
        assert lines[0].endswith("OOD  ┊ 0")
        assert sum(line[7] == "┊" for line in lines[1:-1]) >= 8
        assert lines[-1].split()[0] == "0"


@pytest.mark.parametrize(
    "series",
    [
        (RISING, replace(RISING, marked_x=50)),  # not one step
        (replace(RISING, marked_x=300, x=STEPS), replace(FLAT, name="a name that takes all room")),
    ],
)
def test_a_marked_step_is_named_where_it_is_one_and_there_is_room(
    series: tuple[PlotSeries, ...],
) -> None:
    assert "┊" not in text(Plot("accuracy", series, is_percent=True), cells=46)[0]


def test_the_cursor_reads_every_curve() -> None:
    lines = text(Plot("accuracy", (FLAT, RISING), View(cursor=52), is_percent=True))
    assert lines[0] == "accuracy  step 52  60.0% ID  40.0% OOD  ┊ 150"
    at_gap = text(Plot("accuracy", (FLAT, RISING), View(cursor=100), is_percent=True))
    assert at_gap[0] == "accuracy  step 100  – ID  45.0% OOD  ┊ 150"


def test_only_the_values_in_sight_make_the_axis() -> None:
    early = Plot("loss", (RISING,), View(across=PlotAxis(0, 60)))
    labels = [line[:6].strip() for line in text(early)[1:-1]]
    assert "0.5" not in labels
    assert "0.4" in labels


def test_what_is_chosen_is_told() -> None:
    view = View(x_is_log=True, y_is_log=True, smoothing=0.9)
    legend = text(Plot("loss", (RISING,), view))[0]
    assert legend.startswith("loss  last · log x · log y · smooth 0.9")


@pytest.mark.parametrize(("cells", "rows"), [(1, 1), (19, 40), (60, 3), (20, 4)])
def test_little_room_is_no_trouble(cells: int, rows: int) -> None:
    lines = text(Plot("accuracy of a run", (RISING,)), cells, rows)
    assert 1 <= len(lines) <= rows
    assert all(len(line) <= cells for line in lines[1:])


def test_nothing_to_draw_is_an_empty_picture() -> None:
    for series in ((), (PlotSeries("none", np.array([]), np.array([]), "red"),)):
        assert len(text(Plot("loss", series))) == 12


def test_marks_tell_curves_apart_without_colour() -> None:
    lines = text(Plot("accuracy", (FLAT, RISING), is_percent=True, has_marks=True))
    assert lines[0].startswith("accuracy  last  ● 60.0% ID  ▲ 50.0% OOD")
    drawn = "".join(lines[1:-1])
    assert (drawn.count("●"), drawn.count("▲")) == (4, 5), "one at each value"
    steps = np.arange(10_000.0)
    many = (PlotSeries("a", steps, steps, "red"), PlotSeries("b", steps, -steps, "blue"))
    drawn = "".join(text(Plot("many", many, has_marks=True))[1:-1])
    assert 4 <= drawn.count("●") <= 8
    assert 4 <= drawn.count("▲") <= 8


@pytest.mark.parametrize(("cells", "rows"), [(80, 22), (120, 40), (200, 48), (40, 16)])
def test_a_plot_fills_its_room_and_no_more(cells: int, rows: int) -> None:
    plot = Plot("accuracy", (FLAT, RISING), View(cursor=150), is_percent=True, has_marks=True)
    lines = text(plot, cells, rows)
    assert len(lines) == rows
    assert max(width(line) for line in lines) <= cells


def test_a_curve_and_its_value_have_its_colour() -> None:
    plot = Plot("accuracy", (FLAT, RISING), is_percent=True, has_marks=True)
    first, *rest = list(plot.lines(60, 12))
    named = {each.style: each.text for each in first}
    drawn = {mark: style for line in rest for text_, style, _ in line for mark in text_}
    for series, mark in ((FLAT, "●"), (RISING, "▲")):
        assert named[Style.parse(series.style)].split()[0] == mark
        assert drawn[mark] == Style.parse(series.style)


def test_a_single_value_is_drawn() -> None:
    one = PlotSeries("ID", np.array([0.0]), np.array([0.5]), "green")
    assert "●" in "".join(text(Plot("accuracy", (one,), has_marks=True))[1:-1])


def test_a_step_is_named_as_asked() -> None:
    plot = Plot("OOD", (RISING,), View(cursor=150), step_name=lambda step: f"{step}% of B")
    assert text(plot)[0].startswith("OOD  150% of B  0.5 OOD")


def test_names_are_plain_text() -> None:
    series = PlotSeries("[red]\x1b[2J", STEPS, STEPS, "green")
    assert "[red]␛[2J" in text(Plot("x", (series,)))[0]


def test_drawing_does_not_depend_on_what_was_drawn_before() -> None:
    plot = Plot("loss", (RISING, FLAT))
    first = text(plot)
    assert text(plot, 40, 8) != first
    assert text(plot) == first


def test_values_that_are_not_finite_leave_a_gap_with_a_mark_below_it() -> None:
    lines = text(Plot("accuracy", (FLAT, RISING)), rows=12)
    (marked,) = [line for line in lines if GAP_MARK in line]
    assert lines.index(marked) == len(lines) - 2
    assert marked.count(GAP_MARK) == 1
    whole = text(Plot("accuracy", (RISING,)), rows=12)
    assert not any(GAP_MARK in line for line in whole)
