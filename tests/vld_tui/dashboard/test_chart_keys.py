"""The keys that look around in a chart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import numpy as np
import pytest
from textual.app import App, ComposeResult
from textual.events import MouseScrollDown, MouseScrollUp
from textual.pilot import Pilot

from vld_tui.dashboard.widgets.chart import Chart
from vld_tui.views.plot import LABEL_CELLS, PlotSeries, View
from vld_tui.views.raster import PlotAxis


class OneChart(App[None]):
    """A chart that has the keyboard."""

    def __init__(self) -> None:
        super().__init__()
        self.chart = Chart()

    def compose(self) -> ComposeResult:
        yield self.chart

    def on_mount(self) -> None:
        steps = np.arange(101.0)
        self.chart.set_series("loss", [PlotSeries("a", steps, 1 / (1 + steps), "blue")])
        self.chart.focus()


def press(*keys: str) -> Chart:
    """Return a chart of steps 0 to 100 after keys were pressed."""
    app = OneChart()

    async def play() -> None:
        async with app.run_test(size=(110, 20)) as pilot:
            await pilot.pause()
            for key in keys:
                await pilot.press(key)
            await pilot.pause()

    asyncio.run(play())
    return app.chart


def use(mouse: Callable[[Pilot[None], Chart], Awaitable[object]]) -> Chart:
    """Return a chart of steps 0 to 100 after the mouse was used."""
    app = OneChart()

    async def play() -> None:
        async with app.run_test(size=(LABEL_CELLS + 101, 20)) as pilot:
            await pilot.pause()
            await mouse(pilot, app.chart)
            await pilot.pause()

    asyncio.run(play())
    return app.chart


def ends(chart: Chart) -> tuple[float, float]:
    return chart.plot.across.low, chart.plot.across.high


def test_plus_shows_the_middle_steps_and_minus_and_0_all_again() -> None:
    assert ends(press("plus")) == pytest.approx((25, 75))
    assert ends(press("plus", "plus")) == pytest.approx((37.5, 62.5))
    assert ends(press("plus", "plus", "minus")) == pytest.approx((25, 75))
    assert ends(press("plus", "minus")) == pytest.approx((0, 100))
    assert ends(press("plus", "plus", "plus", "0")) == pytest.approx((0, 100))
    assert ends(press("plus", "h", "minus")) == pytest.approx((0, 95))
    assert ends(press("plus", "l", "minus")) == pytest.approx((5, 100))


def test_zooming_in_goes_towards_the_cursor() -> None:
    at_the_end = press("i")
    assert at_the_end.plot.view.cursor == pytest.approx(100)
    chart = press("i", *["left"] * 5, "plus")
    cursor = chart.plot.view.cursor
    assert cursor is not None
    low, high = ends(chart)
    assert low < cursor < high
    assert high - low == pytest.approx(50)
    assert low > 25  # the middle would be 25 to 75


def test_left_and_right_move_the_cursor_or_what_is_in_sight() -> None:
    left = press("i", "left", "left", "right").plot.view.cursor
    assert left is not None
    assert 98 < left < 100
    assert ends(press("plus", "right")) == pytest.approx((30, 80))
    assert ends(press("plus", "h")) == pytest.approx((20, 70))
    assert press("i", "i").plot.view.cursor is None


def test_home_and_end_move_the_cursor_to_the_first_and_last_visible_value() -> None:
    assert press("i", "home").plot.view.cursor == 0
    assert press("i", "home", "end").plot.view.cursor == 100
    assert press("plus", "i", "home").plot.view.cursor == 25
    assert press("home").plot.view.cursor is None


def test_a_cursor_out_of_view_is_reported() -> None:
    def heading(chart: Chart) -> str:
        return "".join(segment.text for segment in next(iter(chart.plot.lines(80, 15))))

    chart = press("i")
    assert "out of view" not in heading(chart)
    chart.set_view(replace(chart.plot.view, across=PlotAxis(0.0, 50.0)))
    assert "cursor out of view" in heading(chart)


def test_the_cursor_stays_within_the_chart() -> None:
    assert press("i", "right").plot.view.cursor == pytest.approx(100)


def test_axes_become_logarithmic_and_back() -> None:
    view = press("x", "y").plot.view
    assert (view.x_is_log, view.y_is_log) == (True, True)
    assert press("x", "x").plot.view.x_is_log is False
    assert press("plus", "x").plot.view.across is None


def test_smoothing_grows_and_ends() -> None:
    assert [press(*["s"] * times).plot.view.smoothing for times in range(5)] == [
        0.0, 0.6, 0.9, 0.97, 0.0,
    ]  # fmt: skip


@pytest.mark.parametrize(("no_color", "is_colourless"), [(None, False), ("1", True)])
def test_curves_have_marks_where_there_is_no_colour(
    monkeypatch: pytest.MonkeyPatch, no_color: str | None, *, is_colourless: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    assert press().plot.is_colourless is is_colourless


def test_a_click_reads_the_values_of_the_nearest_step() -> None:
    chart = use(lambda pilot, chart: pilot.click(chart, offset=(LABEL_CELLS + 40, 5)))
    assert chart.plot.view.cursor == 40

    async def click_between_two_steps(pilot: Pilot[None], chart: Chart) -> None:
        await pilot.press("plus")
        await pilot.click(chart, offset=(LABEL_CELLS + 41, 5))

    assert use(click_between_two_steps).plot.view.cursor in (45, 46)
    beside = use(lambda pilot, chart: pilot.click(chart, offset=(2, 5)))
    assert beside.plot.view.cursor == 0


def test_a_double_click_resets() -> None:
    async def mouse(pilot: Pilot[None], chart: Chart) -> None:
        await pilot.press("plus")
        await pilot.double_click(chart, offset=(LABEL_CELLS + 40, 5))

    view = use(mouse).plot.view
    assert (view.across, view.cursor) == (None, None)


def test_the_wheel_zooms_around_the_pointer() -> None:
    async def mouse(pilot: Pilot[None], chart: Chart) -> None:
        x = LABEL_CELLS + 20
        for kind in (MouseScrollUp, MouseScrollUp, MouseScrollDown):
            chart.post_message(kind(chart, x, 5, 0, 0, 0, False, False, False))
        await pilot.pause()

    low, high = ends(use(mouse))
    assert high - low == pytest.approx(80)
    assert low + 0.2 * (high - low) == pytest.approx(20)


def test_dragging_moves_the_zoomed_steps_but_not_beyond_the_run() -> None:
    async def drag(pilot: Pilot[None], chart: Chart, cells: int, *keys: str) -> None:
        await pilot.press("plus", *keys)  # 25 to 75
        await pilot.mouse_down(chart, offset=(LABEL_CELLS + 50, 5))
        await pilot.hover(chart, offset=(LABEL_CELLS + 50 + cells, 5))
        await pilot.mouse_up(chart, offset=(LABEL_CELLS + 50 + cells, 5))

    chart = use(lambda pilot, chart: drag(pilot, chart, 20))
    assert ends(chart) == pytest.approx((15, 65))
    assert chart.plot.view.cursor is None, "dragging is no click"
    assert ends(use(lambda pilot, chart: drag(pilot, chart, 50, "h"))) == pytest.approx((0, 50))


def test_the_axis_is_steps_then_time_since_the_start_then_the_time_of_day() -> None:
    assert [press(*["W"] * times).plot.view.x_scale for times in range(4)] == [
        "step", "elapsed", "clock", "step",
    ]  # fmt: skip
    assert press("plus", "i", "x", "W").plot.view == View(x_scale="elapsed")
    assert press("W", "x").plot.view.x_is_log is False


def test_the_cursor_at_step_0_is_left_of_a_logarithmic_axis() -> None:
    at_0 = ("i", *["left"] * 110)
    assert press(*at_0).plot.view.cursor == 0
    chart = press(*at_0, "x")
    (heading, *_) = chart.plot.lines(80, 12)
    assert "step 0" in "".join(segment.text for segment in heading)
    assert ends(press(*at_0, "x", "plus")) != ends(chart)
    assert press(*at_0, "x", "left").plot.view.cursor == 0
    assert press(*at_0, "x", "right").plot.view.cursor == 1
