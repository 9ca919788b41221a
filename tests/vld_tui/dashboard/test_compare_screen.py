"""Marked runs side by side on their screen."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from engine.protocol import resolve_spec
from tests.vld_tui.dashboard.fake_history import FakeSource, make_run, play, screen_lines, settle
from vld_tui.dashboard.app import Dashboard
from vld_tui.dashboard.widgets.chart import Chart
from vld_tui.dashboard.widgets.compare_table import CompareTable


def two_arms() -> FakeSource:
    return FakeSource(
        [
            make_run(at, spec=resolve_spec({"dropout_rate": rate, "seed": at}))
            for at, rate in enumerate([0.0, 0.9, 0.9])
        ]
    )


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_marked_runs_are_shown_side_by_side_with_their_curves(size: tuple[int, int]) -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("space", "space", "space", "d")
        await settle(pilot)
        lines = screen_lines(app)
        assert "compare  3 runs, 2 configurations" in lines[0]
        assert any(line.split() == ["dropout", "0", "0.9"] for line in lines)
        assert any("95% interval over 3 or more seeds" in line for line in lines)
        plot = app.screen.query_one("#first", Chart).plot
        assert plot.title == "OOD ± sd over seeds"
        assert [each.name for each in plot.series if not each.is_bound] == ["run 0", "run 1 ×2"]
        await pilot.press("escape")
        await settle(pilot)
        assert any("age ▴" in line for line in screen_lines(app))

    play(two_arms(), scenario, size=size)


def test_columns_fit_beside_the_scroll_bar() -> None:
    rates = (0.0, 0.5, 0.9, 0.95)
    measures = {"balanced_accuracy": (0.5, 0.25), "calibration_error": (0.125, 0.375)}
    runs = [
        make_run(at, spec=resolve_spec({"dropout_rate": rate}), measures=measures,
                 name=f"photo-dropout-{rate}", domains={"art": 0.5, "noto": 0.25})
        for at, rate in enumerate(rates)
    ]  # fmt: skip

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("space", "space", "space", "space", "d")
        await settle(pilot)
        lines = screen_lines(app)
        (at,) = (at for at, line in enumerate(lines) if line.split()[:1] == ["dropout"])
        assert lines[at].split()[1:] == [f"{rate:g}" for rate in rates[:3]]
        assert lines[1].split()[:3] == ["1–3", "of", "4"]
        assert lines[at + 1].split()[0] == "status"

    play(FakeSource(runs), scenario, size=(80, 24))


def test_one_configuration_is_not_called_several() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("down", "space", "space", "d")
        await settle(pilot)
        assert screen_lines(app)[0].rstrip().endswith("2 runs, 1 configuration")

    play(two_arms(), scenario)


def test_one_run_is_not_compared() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("space", "d")
        await settle(pilot)
        assert any("Mark at least two runs" in str(each.message) for each in app._notifications)

    play(two_arms(), scenario)


@pytest.mark.parametrize(("count", "size"), [(16, (80, 24)), (40, (80, 24)), (40, (200, 50))])
def test_no_run_is_lost(count: int, size: tuple[int, int]) -> None:
    runs = [
        make_run(at, name=f"run-{1000 + at}", spec=resolve_spec({"lr": (at + 1) / 1000}))
        for at in range(count)
    ]

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press(*["space"] * count, "d")
        await settle(pilot)
        assert f"{count} runs, {count} configurations" in screen_lines(app)[0]
        assert app.screen.query_one(CompareTable).has_focus
        seen: list[str] = []
        for _ in range(count):
            heading = screen_lines(app)[1]
            assert f"of {count}" in heading
            names = [word for word in heading.split() if word.startswith("run-")]
            assert not any("…" in name for name in names)
            seen += [name for name in names if name not in seen]
            (lrs,) = (line.split() for line in screen_lines(app) if line.split()[:1] == ["lr"])
            assert [float(each) for each in lrs[1:]] == [
                (int(name.removeprefix("run-")) - 999) / 1000 for name in names
            ]
            await pilot.press("right")
            await pilot.pause()
        assert seen == [run.name for run in runs]
        await pilot.press("home")
        assert "run-1000" in screen_lines(app)[1]
        await pilot.press("end")
        assert f"–{count} of {count}" in screen_lines(app)[1]

    play(FakeSource(runs), scenario, size=size)


def test_the_names_of_runs_have_the_colours_of_their_curves() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("space", "space", "space", "d")
        await settle(pilot)
        series = [each for each in app.screen.query_one("#first", Chart).plot.series if each.name]
        heading = app.screen.query_one(CompareTable).render_line(0)
        colours = {
            segment.text.strip(): segment.style.color.name
            for segment in heading
            if segment.style is not None and segment.style.color is not None
        }
        for each in series:
            (found,) = (colour for text, colour in colours.items() if each.name in text)
            assert found == each.style.lower()

    play(two_arms(), scenario)
