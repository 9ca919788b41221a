"""The list of keys: readable, scrolled by keys, and left by them."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from tests.vld_tui.dashboard.fake_history import (
    FakeSource,
    make_run,
    play,
    screen_lines,
    settle,
)
from vld_tui.dashboard.app import Dashboard
from vld_tui.dashboard.preferences import Preferences
from vld_tui.dashboard.screens.help import HelpScreen, KeyGroup, key_list

GROUPS = (
    KeyGroup("here", [("a", "one"), ("ctrl+shift+end k", "two"), ("c", "three")]),
    KeyGroup("nowhere", []),
)


@pytest.mark.parametrize("way_out", ["escape", "question_mark"])
@pytest.mark.parametrize("opened", [(), ("enter",), ("enter", "5")])
def test_every_key_is_read_at_the_smallest_size(way_out: str, opened: tuple[str, ...]) -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press(*opened)
        await settle(pilot)
        below = app.screen
        bindings = [each.binding for each in below.active_bindings.values()]
        known = {each.description.lower() for each in bindings if each.id is not None}
        await pilot.press("question_mark")
        await settle(pilot)
        assert isinstance(app.screen, HelpScreen)
        seen = screen_lines(app)
        await pilot.press("end")
        await settle(pilot)
        seen += screen_lines(app)
        assert not any("…" in line for line in seen)
        assert all(any(about in line for line in seen) for about in known)
        await pilot.press(way_out)
        await settle(pilot)
        assert app.screen is below

    play(FakeSource([make_run(0)]), scenario, size=(80, 24))


def test_chosen_keys_are_listed_and_that_of_help_closes_it() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("f1")
        await settle(pilot)
        assert any("f9  new " in line for line in screen_lines(app))
        await pilot.press("f1")
        await settle(pilot)
        assert app.screen is app.home

    keys = {"help": "f1", "new": "f9"}
    play(FakeSource([make_run(0)]), scenario, preferences=Preferences(keys=keys))


@pytest.mark.parametrize(("cells", "rows"), [(20, 3), (67, 3), (68, 2), (102, 1)])
def test_entries_take_as_many_columns_as_find_room(cells: int, rows: int) -> None:
    lines = key_list(GROUPS, cells).plain.splitlines()
    assert lines[0] == "here"
    assert lines[1].split()[:2] == ["a", "one"]
    assert lines.index("nowhere") == rows + 2
    assert "ctrl+shift+end k" in "".join(lines)


def test_no_keys_are_no_text() -> None:
    assert key_list((), 80).plain == ""
