"""Runs taken together, columns chosen, the plane walked through."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot
from textual.widgets import SelectionList

from engine.protocol import resolve_spec
from tests.vld_tui.dashboard.fake_history import (
    FakeActions,
    FakeSource,
    make_run,
    play,
    screen_lines,
    settle,
)
from vld_tui.dashboard.app import Dashboard
from vld_tui.dashboard.preferences import Preferences
from vld_tui.dashboard.widgets.plane import Plane
from vld_tui.dashboard.widgets.run_table import RunTable
from vld_tui.views.run_columns import RUN_COLUMNS


def three() -> FakeSource:
    return FakeSource([make_run(i, name=f"trial-s{i}") for i in range(3)])


async def take_together(pilot: Pilot[None], words: str) -> None:
    """Press ``b`` and choose what the words find first."""
    await pilot.press("b")
    await settle(pilot)
    await pilot.press(*words)
    await pilot.pause(0.3)
    await settle(pilot)
    await pilot.press("enter")
    await settle(pilot)


def test_runs_alike_but_for_their_seed_are_one_row_with_mean_and_spread() -> None:
    source, actions = three(), FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await take_together(pilot, "all but seed")
        lines = screen_lines(app)
        assert "1 group by all but seed" in lines[1]
        for part in ("≡", "trial", "×3", "70.0±10.0%", "50.0±5.0%", "3✓"):
            assert part in lines[3], part
        assert "trail" not in lines[2], "a column that is empty for groups"
        assert source.asked[-1].watched == tuple(run.run_id for run in source.runs)
        for key in ("r", "ctrl+d"):  # a group can be neither resumed nor trashed
            await pilot.press(key)
            await settle(pilot)
            assert actions.done == []
            said = [str(each.message) for each in app._notifications]
            assert any("This is a group of runs" in each for each in said)
            app.clear_notifications()
        await pilot.press("space")
        await settle(pilot)
        assert len(app.screen.query_one(RunTable).marked) == 3
        await pilot.press("escape", "enter")
        await settle(pilot)
        lines = screen_lines(app)
        assert "within trial" in lines[1]
        assert source.asked[-1].grouping is None
        assert "configuration IS ?" in source.asked[-1].query.where
        await pilot.press("escape")
        await settle(pilot)
        assert "1 group by all but seed" in screen_lines(app)[1]

    play(source, scenario, actions=actions, size=(160, 40))
    assert actions.preferences is not None
    assert actions.preferences.group == "configuration"


def test_the_plane_is_coloured_from_the_list_once_it_is_shown() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("2")
        await settle(pilot)
        plane = app.screen.query_one(Plane)
        before = plane.plot.colouring
        await pilot.press("P", "m")
        await settle(pilot)
        assert plane.plot.colouring != before
        assert app._notifications, "there is no other measure"
        await pilot.press("1", "P")
        await settle(pilot)
        assert plane.plot.colouring != before

    play(three(), scenario)


def test_a_group_of_which_some_runs_are_marked_has_a_sign_of_its_own() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("space")
        await take_together(pilot, "all but seed")
        assert screen_lines(app)[3].startswith("-")
        await pilot.press("space")
        await settle(pilot)
        assert len(app.screen.query_one(RunTable).marked) == 3
        assert not screen_lines(app)[3].startswith("-")

    play(three(), scenario)


def test_seeds_are_what_is_found_first_and_chosen_at_once() -> None:
    source = three()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        for words in ("seed", ""):
            await take_together(pilot, words)
            assert "by all but seed" in screen_lines(app)[1]
            await take_together(pilot, "none")
            assert "group" not in screen_lines(app)[1]

    play(source, scenario)


def test_any_field_can_be_what_runs_have_in_common() -> None:
    source = three()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await take_together(pilot, "target")
        grouping = source.asked[-1].grouping
        assert grouping is not None
        assert grouping.name == "target"
        await take_together(pilot, "none")
        assert source.asked[-1].grouping is None

    play(source, scenario)


def test_columns_are_chosen_and_remembered() -> None:
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("C")
        await settle(pilot)
        choices = app.screen.query_one(SelectionList)
        for name in RUN_COLUMNS:
            choices.deselect(name)
        for name in ("name", "ood", "lr", "gap"):
            choices.select(name)
        await pilot.press("enter")
        await settle(pilot)
        lines = screen_lines(app)
        assert lines[2].split()[:4] == ["name", "OOD", "OOD", "−"]
        assert "−20.0" in lines[3]

    play(three(), scenario, actions=actions)
    assert actions.preferences is not None
    assert actions.preferences.columns == ("name", "ood", "gap", "lr")


def test_a_ticked_column_has_a_sign_that_needs_no_colour() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        def line(name: str) -> str:
            return next(
                line[line.index("[") :] for line in screen_lines(app) if f"] {name} " in line
            )

        await pilot.press("C")
        await settle(pilot)
        assert line("status").startswith("[✓] status")
        assert line("gap").startswith("[ ] gap")
        await pilot.click(SelectionList, offset=(1, 0))
        await settle(pilot)
        assert line("status").startswith("[ ] status")
        await pilot.press("space")
        await settle(pilot)
        assert line("status").startswith("[✓] status")

    play(three(), scenario)


def test_the_dashboard_begins_as_it_was_left() -> None:
    liked = Preferences(sort="-ood", group=None, columns=("name", "seed"), theme="nord")

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        assert "newest first" not in screen_lines(app)[1]
        assert "by OOD ▾" in screen_lines(app)[1]
        assert screen_lines(app)[2].split()[:2] == ["name", "seed"]
        assert app.theme == "nord"

    play(three(), scenario, preferences=liked)


def test_what_an_older_version_kept_is_no_trouble() -> None:
    liked = Preferences(sort="-gone", group="gone", columns=("gone",), theme="gone", keys={"x": ""})

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        assert "age ▴" in screen_lines(app)[2]
        assert "OOD" in screen_lines(app)[2]

    play(three(), scenario, preferences=liked)


def test_a_click_on_a_heading_sorts_and_a_second_one_turns_round() -> None:
    source = three()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        column = screen_lines(app)[2].index(" OOD") + 2
        await pilot.click(RunTable, offset=(column, 0))
        await settle(pilot)
        assert source.asked[-1].sort == "-ood_accuracy"
        await pilot.click(RunTable, offset=(column, 0))
        await settle(pilot)
        assert source.asked[-1].sort == "ood_accuracy"

    play(source, scenario)


@pytest.mark.parametrize("by_mouse", [False, True])
def test_a_point_of_the_plane_chooses_its_run(by_mouse: bool) -> None:
    source = FakeSource(
        [make_run(i, spec=resolve_spec({"dropout_rate": 0.9 * (i % 2)})) for i in range(3)]
    )

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("2")
        await settle(pilot)
        plane = app.screen.query_one(Plane)
        if by_mouse:
            await pilot.click(Plane, offset=(plane.size.width - 2, plane.size.height - 4))
        else:
            plane.focus()
            await pilot.press("right", "right")
        await settle(pilot)
        current = app.screen.query_one(RunTable).current
        assert current is not None
        assert current.run_ids == (source.runs[2].run_id,)
        assert source.asked[-1].watched == (source.runs[2].run_id,)
        assert plane.plot.current == source.runs[2].run_id
        assert plane.plot.trail is not None
        plane.focus()
        await pilot.press("P")
        await settle(pilot)
        assert plane.plot.colouring == "arm"
        await pilot.press("enter")
        await settle(pilot)
        assert source.asked[-1].opened == source.runs[2].run_id

    play(source, scenario)
