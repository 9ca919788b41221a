"""Mistakes of two runs on the same images."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot

from tests.made_predictions import predictions_with
from tests.vld_tui.dashboard.fake_history import (
    FakeActions,
    FakeSource,
    make_run,
    play,
    screen_lines,
    settle,
)
from tests.vld_tui.dashboard.run_facts import full_detail, picture
from vld_tui.control.flips import Partner
from vld_tui.dashboard.app import Dashboard
from vld_tui.dashboard.screens.flips import FlipsScreen
from vld_tui.dashboard.widgets.tile import Tile

RUNS = [make_run(0), make_run(1)]


def actions_with(first: set[int], second: set[int], *, is_earlier: bool = False) -> FakeActions:
    actions = FakeActions()
    actions.others = [Partner(RUNS[1], "marked")]
    for run, wrong in zip(RUNS, (first, second), strict=True):
        actions.predictions[run.run_id] = predictions_with(
            wrong, picture=picture(), is_earlier=is_earlier
        )
    return actions


def source() -> FakeSource:
    found = FakeSource(RUNS)
    found.detail = full_detail()
    return found


def on_screen(app: Dashboard) -> str:
    return "\n".join(screen_lines(app))


async def open_mistakes(pilot: Pilot[None]) -> None:
    await pilot.press("enter")
    await settle(pilot)
    await pilot.press("M")
    await settle(pilot)
    await pilot.press("enter")
    await settle(pilot)


@pytest.mark.parametrize("size", [(80, 24), (160, 40)])
def test_images_of_each_kind_and_counts_by_class(size: tuple[int, int]) -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_mistakes(pilot)
        assert isinstance(app.screen, FlipsScreen)
        assert "A wrong, B right: 2" in on_screen(app)
        assert "exact McNemar test: p = 1.000" in on_screen(app)
        assert "A wrong, B right: 1–2 of 2" in on_screen(app)
        assert "true cat · A dog 90.0% (then cat 10.0%) · B cat ✓" in on_screen(app)
        assert len(app.screen.query(Tile)) == 2
        await pilot.press("v")
        await settle(pilot)
        assert "A right, B wrong: 1–3 of 3" in on_screen(app)
        await pilot.press("slash", *"dog", "enter")
        await settle(pilot)
        assert "no images (v: next) · class dog" in on_screen(app)
        await pilot.press("v", *["v"] * (size[0] < 110))
        await settle(pilot)
        assert any(line.split()[:4] == ["cat", "5", "2", "4"] for line in screen_lines(app))
        await pilot.press("]")
        await settle(pilot)
        assert "2 images of photo" in on_screen(app)
        await pilot.press("escape")
        assert not isinstance(app.screen, FlipsScreen)

    play(source(), scenario, actions=actions_with({0, 1, 9}, {1, 2, 3, 4}), size=size)


def test_of_earlier_versions_it_is_said_what_is_unknown() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_mistakes(pilot)
        assert "Both runs stored only the most confident mistakes" in on_screen(app)
        assert any(line.split()[:5] == ["cat", "5", "2", "4", "–"] for line in screen_lines(app))

    actions = actions_with({0, 1, 9}, {1, 2, 3, 4}, is_earlier=True)
    play(source(), scenario, actions=actions, size=(160, 40))


def test_after_a_refusal_another_domain_can_be_chosen() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_mistakes(pilot)
        assert "different targets: sketch and none" in on_screen(app)
        await pilot.press("]")
        await settle(pilot)
        assert "10 images of sketch" in on_screen(app)
        assert any(line.split()[:4] == ["cat", "5", "1", "1"] for line in screen_lines(app))
        actions.predictions[RUNS[0].run_id] = predictions_with({0}, digest="other")
        await pilot.press("]")
        await settle(pilot)
        assert "2 images of photo" in on_screen(app)
        await pilot.press("[")
        await settle(pilot)
        assert "images of sketch have changed" in on_screen(app)
        await pilot.resize_terminal(150, 40)
        await settle(pilot)
        assert not any(line.split()[:1] == ["cat"] for line in screen_lines(app))

    actions = actions_with({0}, {1})
    whole = actions.predictions[RUNS[1].run_id]
    domains = tuple(replace(each, is_target=False) for each in whole.domains)
    actions.predictions[RUNS[1].run_id] = replace(whole, domains=domains)
    play(source(), scenario, actions=actions, size=(160, 40))


def test_two_compared_runs_are_compared_by_mistakes() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("space", "j", "space", "d")
        await settle(pilot)
        await pilot.press("M")
        await settle(pilot)
        assert "10 images of sketch" in on_screen(app)
        await pilot.press("escape")
        await settle(pilot)
        assert "compare  2 runs" in on_screen(app)

    play(source(), scenario, actions=actions_with({0}, {1}), size=(160, 40))
