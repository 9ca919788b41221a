"""Settings: in force at once, and remembered."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Select

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
from vld_tui.dashboard.widgets.ask import AskLine
from vld_tui.dashboard.widgets.run_table import RunTable


def source() -> FakeSource:
    return FakeSource([make_run(i) for i in range(3)])


async def give(app: Dashboard, pilot: Pilot[None], action: str, keys: str) -> None:
    """Give an action keys in the settings, and leave them."""
    await pilot.press("comma")
    await settle(pilot)
    table = app.screen.query_one("#keys", DataTable)
    table.focus()
    table.move_cursor(row=list(app.key_table.actions).index(action))
    await pilot.press("enter")
    await settle(pilot)
    app.screen.query_one(Input).value = keys
    await pilot.press("enter")
    await settle(pilot)
    if isinstance(app.screen, AskLine):  # refused: what was typed is still there
        assert app.screen.query_one(Input).value == keys
        await pilot.press("escape")
        await settle(pilot)
    await pilot.press("escape")
    await settle(pilot)


def test_theme_refresh_and_notice_are_taken_over() -> None:
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("comma")
        await settle(pilot)
        app.screen.query_one("#theme", Select).value = "gruvbox"
        app.screen.query_one("#notice", Select).value = "bell"
        app.screen.query_one("#refresh", Input).value = "0.01"
        await settle(pilot)
        assert any("must be 0.1 to 3600 s" in line for line in screen_lines(app))
        app.screen.query_one("#refresh", Input).value = "2.5"
        await settle(pilot)
        assert app.theme == "gruvbox"
        assert app.preferences.refresh_s == 2.5
        await pilot.press("escape")

    play(source(), scenario, actions=actions)
    kept = actions.preferences
    assert kept is not None
    assert (kept.theme, kept.notice, kept.refresh_s) == ("gruvbox", "bell", 2.5)


def test_arrows_lead_from_setting_to_setting_and_enter_opens_a_list() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("comma")
        await settle(pilot)
        for place in ("theme", "refresh", "notice", "keys"):
            assert app.focused is not None
            assert app.focused.id == place
            await pilot.press("down")
        await pilot.press("up", "up", "up")
        assert app.focused is app.screen.query_one("#refresh")
        await pilot.press("down", "enter", "down", "enter")
        await settle(pilot)
        assert app.preferences.notice == "bell"
        assert app.focused is app.screen.query_one("#notice")

    play(source(), scenario, size=(80, 24))


def test_keys_are_shown_without_control_characters() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("comma")
        await settle(pilot)
        table = app.screen.query_one("#keys", DataTable)
        shown = {key.value: str(table.get_row_at(at)[1]) for at, key in enumerate(table.rows)}
        assert shown["clear"] == "esc"
        assert shown["stop"] == "S"
        assert shown["earlier"] == "< shift+↑"
        assert shown["more-slots"] == "+ ="
        assert shown["help"] == "? f1"
        assert all(keys.isprintable() for keys in shown.values())

    play(source(), scenario)


def test_an_action_gets_other_keys_and_its_usual_ones_back() -> None:
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await give(app, pilot, "mark", "f3 f6")
        app.screen.query_one(RunTable).focus()
        await pilot.press("space", "f3", "f6")
        await settle(pilot)
        assert len(app.screen.query_one(RunTable).marked) == 2
        await give(app, pilot, "mark", "")
        app.screen.query_one(RunTable).focus()
        await pilot.press("f3", "space")
        await settle(pilot)
        assert len(app.screen.query_one(RunTable).marked) == 3

    play(source(), scenario, actions=actions)
    assert actions.preferences is not None
    assert actions.preferences.keys == {}


@pytest.mark.parametrize("keys", ["cB", "ctrl+nothing", "x foo+y"])
def test_a_key_that_no_terminal_sends_is_refused(keys: str) -> None:
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await give(app, pilot, "clone", keys)
        assert "is not a key" in [*app._notifications][-1].message

    play(source(), scenario, actions=actions)
    assert actions.preferences is None


def test_a_key_that_another_action_has_is_refused() -> None:
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await give(app, pilot, "quit", "f9")
        await give(app, pilot, "tags", "f8")
        for keys, about in (("f10 r", "resume"), ("?", "help"), ("ctrl+q", "quit at once")):
            await give(app, pilot, "quit", keys)
            assert f"already used for “{about}”" in [*app._notifications][-1].message
        await give(app, pilot, "help", "q")
        await give(app, pilot, "quit", "")
        assert "already used for “help”" in [*app._notifications][-1].message
        await pilot.press("r")
        assert app.is_running
        await pilot.press("f9")

    play(source(), scenario, actions=actions)
    assert ("resume", "250101-000000-aaaa") in actions.done
    assert actions.preferences is not None
    assert actions.preferences.keys == {"quit": "f9", "tags": "f8", "help": "q"}


def test_actions_that_are_never_offered_together_may_share_a_key() -> None:
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await give(app, pilot, "later", "o")  # of the queue; of the list: sort

    play(source(), scenario, actions=actions)
    assert actions.preferences is not None
    assert actions.preferences.keys == {"later": "o"}


def test_saved_keys_that_clash_are_told_and_kept_but_not_in_force() -> None:
    actions = FakeActions()
    saved = {"quit": "r", "mark": "f3", "of-a-later-version": "r", "undo": ",z"}

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        told = "\n".join(each.message for each in app._notifications)
        assert "key r chosen for “quit” is already used for “resume”. “quit” keeps" in told
        await pilot.press("f3", "r", "comma")
        await settle(pilot)
        assert any("ignored: r is used for “resume”" in line for line in screen_lines(app))
        await pilot.press("escape")
        await give(app, pilot, "note", "f7")
        await pilot.press("q")
        await settle(pilot)
        assert not app.is_running

    play(source(), scenario, actions=actions, preferences=Preferences(keys=saved))
    assert ("resume", "250101-000001-aaaa") in actions.done
    assert actions.preferences is not None
    assert actions.preferences.keys == {**saved, "note": "f7"}


def test_every_action_is_in_the_palette_with_its_key() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        commands = {each.title: each for each in app.get_system_commands(app.screen)}
        for title in ("New", "Filter", "Compare", "Trash", "Settings", "Columns", "Plane"):
            assert title in commands
        assert commands["Trash"].help.endswith("to the trash. Key: ctrl+d")
        assert {"Up", "Down", "First", "Page up"}.isdisjoint(commands)
        await commands["New"].callback()
        await settle(pilot)
        assert type(app.screen).__name__ == "NewRun"

    play(source(), scenario)
