"""Curves with their axes and legend, as text."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.style import Style

from vld_tui.runs.step_times import StepTimes
from vld_tui.views.plot import GAP_MARK, Plot, PlotSeries, View
from vld_tui.views.raster import PlotAxis
from vld_tui.words.palette import series_look
from vld_tui.words.text import width

STEPS = np.array([0.0, 50, 100, 150, 200])
RISING = PlotSeries("OOD", STEPS, np.array([0.3, 0.4, 0.45, 0.5, 0.5]), "dark_orange", 150)
FLAT = PlotSeries("ID", STEPS, np.array([0.6, 0.6, np.nan, 0.6, 0.6]), "dodger_blue1")


def text(plot: Plot, cells: int = 60, rows: int = 12) -> list[str]:
    return ["".join(segment.text for segment in line) for line in plot.lines(cells, rows)]


def test_a_plot_has_legend_labels_and_steps() -> None:
    lines = text(Plot("accuracy", (FLAT, RISING), is_percent=True))
    assert len(lines) == 12
    assert lines[0] == "accuracy  last  60.0% ID  50.0% OOD  ┊ step 150 selected"
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
        assert lines[0].endswith("OOD  ┊ step 0 selected")
        assert sum(line[7] == "┊" for line in lines[1:-1]) >= 8
        assert lines[-1].split()[0] == "0"


def test_marked_steps_are_not_named_if_there_are_several() -> None:
    several = (RISING, replace(FLAT, marked_x=50))
    assert text(Plot("accuracy", several, is_percent=True))[0].endswith("ID  ┊ selected steps")


def test_the_cursor_reads_every_curve_at_its_step() -> None:
    at_50 = text(Plot("accuracy", (FLAT, RISING), View(cursor=50), is_percent=True))
    assert at_50[0] == "accuracy  step 50  60.0% ID  40.0% OOD  ┊ step 150 selected"
    at_gap = text(Plot("accuracy", (FLAT, RISING), View(cursor=100), is_percent=True))
    assert at_gap[0] == "accuracy  step 100  – ID  45.0% OOD  ┊ step 150 selected"


def test_a_value_of_another_step_than_the_cursor_s_is_named_with_its_own() -> None:
    """Two runs are evaluated at other steps; nothing is read between two evaluations."""
    seldom = PlotSeries("B", np.array([0.0, 80, 160]), np.array([0.1, 0.2, 0.3]), "blue")
    plot = Plot("OOD", (replace(RISING, name="A"), seldom), View(cursor=100), is_percent=True)
    assert text(plot, 46, 8)[0] == "OOD  step 100  45.0% A  20.0% at 80 B"
    beyond = replace(plot, view=View(cursor=200))
    assert text(beyond, 46, 8)[0] == "OOD  step 200  50.0% A  – B"
    both_between = replace(plot, series=(seldom,), view=View(cursor=83))
    assert text(both_between, 120)[0].startswith("OOD  step 83, values of step 80  20.0% B")


@given(st.lists(st.integers(0, 1000), min_size=1, unique=True), st.floats(0, 1000))
def test_the_cursor_stands_only_on_recorded_steps(steps: list[int], x: float) -> None:
    recorded = np.array(sorted(steps), dtype=float)
    plot = Plot("loss", (PlotSeries("a", recorded, recorded, "red"),), length=1000)
    nearest = plot.nearest_step(x)
    assert nearest in recorded
    assert abs(nearest - x) == np.abs(recorded - x).min()
    assert plot.next_step(nearest, 1, 80) in recorded[recorded >= nearest]
    assert plot.next_step(nearest, -1, 80) in recorded[recorded <= nearest]


def test_lowest_mean_and_highest_value_are_shown_at_the_cursor() -> None:
    plot = Plot("accuracy", (RISING,), View(cursor=50), is_percent=True, shows_spread=True)
    assert "40.0% OOD (in view: min 30.0% mean 43.0% max 50.0%)" in text(plot, 100)[0]
    steps = np.arange(5_000.0)
    series = PlotSeries("a", steps, steps % 10, "red")
    dense = Plot("loss", (series,), View(cursor=2500), shows_spread=True)
    assert "values here: min 0 mean 4.5 max 9)" in text(dense, 100)[0]


def test_a_smoothed_value_is_shown_with_the_recorded_one_and_its_curve_before_a_dim_one() -> None:
    steps = np.arange(100.0)
    zigzag = PlotSeries("a", steps, steps % 2, "#112233")
    lines = list(Plot("loss", (zigzag,), View(cursor=50, smoothing=0.9)).lines(80, 12))
    assert " 0.473 (0) a" in "".join(each.text for each in lines[0])
    styles = {each.style for line in lines[2:-1] for each in line if each.text.strip()}
    assert {Style.parse("#112233"), Style.parse("dim #112233")} <= styles


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


def test_a_chart_without_values_is_one_line() -> None:
    for series in ((), (PlotSeries("none", np.array([]), np.array([]), "red"),)):
        assert text(Plot("loss", series)) == ["loss  nothing recorded yet"]


def test_the_steps_are_those_of_the_run_from_its_first_value_on() -> None:
    first = PlotSeries("ID", np.array([0.0]), np.array([0.5]), "green")
    loss = PlotSeries("training", np.array([1.0, 2.0]), np.array([2.0, 1.0]), "green")
    for plot in (
        Plot("accuracy", (first,), is_percent=True, length=30),
        Plot("loss", (loss,), aligned=(first,), length=30),
    ):
        assert text(plot)[-1].split() == ["0", "10", "20", "30"]


@pytest.mark.parametrize("length", [1, 2, 3, 7, 30])
def test_steps_are_whole_and_named_once(length: int) -> None:
    series = PlotSeries("a", np.arange(1.0, length + 1), np.linspace(1, 2, length), "red")
    for cells in (40, 80, 200):
        ticks = text(Plot("loss", (series,), length=length), cells)[-1].split()
        assert [int(tick) for tick in ticks] == sorted({int(tick) for tick in ticks})
        assert (int(ticks[0]), int(ticks[-1]) <= length) == (0, True)


def test_flat_curves_have_no_negative_axis_and_no_share_above_1() -> None:
    for value, is_percent in ((0.0, False), (0.0, True), (1.0, True), (0.7, True)):
        flat = PlotSeries("a", STEPS, np.full(5, value), "red")
        lines = text(Plot("x", (flat,), is_percent=is_percent))
        labels = [line.split("┤")[0].strip() for line in lines if "┤" in line]
        numbers = [float(label.rstrip("%")) for label in labels]
        assert min(numbers) >= 0
        assert max(numbers) <= (100 if is_percent else 2)


@given(st.floats(0.1, 0.9), st.floats(1e-6, 0.1))
def test_labels_of_values_are_never_the_same(low: float, room: float) -> None:
    series = PlotSeries("a", STEPS, np.linspace(low, low + room, 5), "red")
    for is_percent in (True, False):
        lines = text(Plot("x", (series,), is_percent=is_percent), 60, 20)
        labels = [line.split("┤")[0] for line in lines if "┤" in line]
        assert len({*labels}) == len(labels)
        assert max(width(line) for line in lines) <= 60


def test_a_chart_zoomed_to_steps_without_values_has_no_labels_of_values() -> None:
    lines = text(Plot("x", (RISING,), View(across=PlotAxis(500, 600))))
    assert not any("┤" in line for line in lines)


def looked(names: list[str]) -> tuple[PlotSeries, ...]:
    looks = [series_look(at) for at in range(len(names))]
    return tuple(
        PlotSeries(name, STEPS, RISING.y, look.colour, dash=look.dash, mark=look.mark)
        for name, look in zip(names, looks, strict=True)
    )


@pytest.mark.parametrize(("cells", "rows"), [(60, 12), (80, 12), (120, 20), (200, 48)])
def test_names_of_many_runs_are_distinguishable(cells: int, rows: int) -> None:
    series = looked([f"photo-resnet18-d0.9-s{seed}" for seed in range(8)])
    lines = text(Plot("OOD", series, is_percent=True), cells, rows)
    legend = " ".join(line for line in lines if "┤" not in line and "│" not in line)
    for seed, each in enumerate(series):
        (words,) = re.findall(rf"{each.mark}\S* 50.0% (\S+)", legend)
        assert words.endswith(f"s{seed}")


@given(
    st.lists(st.text("ab-_ 9é日", min_size=1, max_size=40), min_size=1, max_size=40),
    st.integers(20, 200),
    st.integers(4, 40),
)
def test_a_legend_of_any_names_fits(names: list[str], cells: int, rows: int) -> None:
    lines = text(Plot("OOD", looked(names), is_percent=True), cells, rows)
    assert len(lines) == rows
    assert max(width(line) for line in lines) <= cells


def test_curves_that_do_not_fit_into_the_legend_are_counted() -> None:
    series = looked([f"run {at}" for at in range(32)])
    assert re.search(r"\+\d+ more", "".join(text(Plot("OOD", series), 60, 10)))


def test_curves_differ_without_colours() -> None:
    series = looked([f"run {at}" for at in range(6)])
    plot = Plot("OOD", series[:2], is_percent=True, is_colourless=True)
    lines = text(plot)
    assert lines[0].startswith("OOD  last  ──● 50.0% run 0  ╌╌▲ 50.0% run 1")
    drawn = {tuple(text(Plot("OOD", (replace(each, mark=""),)))[2:]) for each in plot._apart()}
    assert len(drawn) == 2, "the line patterns differ"


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


def test_a_curve_over_times_has_round_durations_and_names_its_step() -> None:
    times = StepTimes(1000.0, STEPS, 1000.0 + 36 * STEPS)
    elapsed = replace(RISING, times=times).over("elapsed")
    plot = Plot("OOD", (elapsed,), View(x_scale="elapsed"), is_percent=True)
    assert text(plot)[-1].split() == ["0s", "30m", "1h", "1h", "30m", "2h"]
    assert text(plot, 90)[0].endswith("┊ step 150 selected")
    at_half = replace(plot, view=replace(plot.view, cursor=3600.0))
    assert text(at_half)[0].startswith("OOD  after 1h 00m, values of step 100  45.0% OOD")


def test_a_curve_over_the_time_of_day_has_round_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    times = StepTimes(0.0, STEPS, 9.5 * 3600 + 36 * STEPS)
    clock = replace(RISING, times=times).over("clock")
    plot = Plot("OOD", (clock,), View(x_scale="clock"), is_percent=True)
    assert text(plot)[-1].split() == ["09:30", "10:00", "10:30", "11:00", "11:30"]


def test_a_curve_without_times_is_not_drawn_over_times() -> None:
    plot = Plot("OOD", (RISING.over("elapsed"),), View(x_scale="elapsed"))
    assert plot.is_empty


@pytest.mark.parametrize("cursor", [None, 0.0, 100.0])
@pytest.mark.parametrize("is_log", [False, True])
def test_a_curve_without_a_finite_value_is_drawn_in_every_view(
    cursor: float | None, *, is_log: bool
) -> None:
    nothing = PlotSeries("diverged", STEPS, np.full(5, np.nan), "blue", 0)
    for smoothing in (0.0, 0.9):
        view = View(cursor=cursor, x_is_log=is_log, y_is_log=is_log, smoothing=smoothing)
        for series in ((nothing,), (nothing, RISING), (replace(nothing, y=nothing.y + np.inf),)):
            plot = Plot("loss", series, view, has_marks=True, shows_spread=True, is_percent=True)
            assert len(text(plot)) == 12
            plot.next_step(0, 1, 60)


def test_names_are_shown_rather_than_values_if_not_both_fit() -> None:
    names = ("art_painting", "cartoon", "photo", "sketch")
    domains = tuple(
        PlotSeries(name, STEPS, RISING.y, "red", mark=mark)
        for name, mark in zip(names, "●■▲◆", strict=True)
    )
    first = text(Plot("domains", domains, is_percent=True), 64, 8)[0]
    for name in names[1:]:
        assert name in first
    assert "%" not in first
