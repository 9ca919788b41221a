"""Hostile text on every screen of the dashboard: shown as text, and never sent raw."""

from __future__ import annotations

import asyncio

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot
from textual.widgets import Input, Static

from tests.hostile.planted import OBEYED, STEERING, obeyed_in, plant
from tests.vld_tui.dashboard.fake_history import FakeSource, play, screen_lines, settle
from vld_tui.dashboard.app import Dashboard, make_dashboard
from vld_tui.home import Home
from vld_tui.words.text import uncontrolled

SCREENS = {
    "plane": ("2", "enter", *"123456782v"),
    "pickers": ("C", "escape", "V", "escape", "f", *"nam", "escape", "b", "enter"),
    "dialogs": ("t", "escape", "e", "escape", "f2", "escape", "K", "escape", "w", "escape", "u"),
    "forms": ("n", "escape", "c"),
    "compare": ("space", "down", "space", "d"),
    "others": ("3", "escape", "4", "escape", "T", "escape", "comma", "escape", "question_mark"),
    "palette": ("ctrl+p", *"1=cmd"),
}
"""Keys that lead from the list over all screens; what each shows is checked."""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("planted") / "home")
    plant(home)
    return home


@pytest.mark.parametrize("screen", SCREENS)
def test_no_screen_draws_a_control_character(planted: Home, screen: str) -> None:
    shown: list[str] = []

    async def scene() -> bool:
        app = make_dashboard(planted)
        async with app.run_test(size=(160, 50)) as pilot:
            await until_shown(app, pilot, "=cmd")
            shown.extend(screen_lines(app))
            for key in SCREENS[screen]:
                await pilot.press(key)
                await pilot.pause(0.05)
                shown.extend(screen_lines(app))
            return app.is_running

    assert asyncio.run(scene())
    assert not obeyed_in("\n".join(shown))


async def until_shown(app: Dashboard, pilot: Pilot[None], text: str) -> None:
    """Wait until the screen shows a text."""
    for _ in range(100):
        if text in "\n".join(screen_lines(app)):
            return
        await pilot.pause(0.05)
    raise AssertionError(text)


def test_text_that_a_screen_forgot_to_check_is_drawn_without_control_characters() -> None:
    shown: list[str] = []

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        text = Static(STEERING, markup=False)
        text.border_title = text.tooltip = STEERING
        await app.screen.mount(text, Input(f"a{STEERING}"), before=0)
        app.notify(STEERING, title=STEERING, markup=False)
        await settle(pilot)
        shown.extend(screen_lines(app))

    play(FakeSource([]), scenario)
    assert not obeyed_in("\n".join(shown))
    assert "owned" in "\n".join(shown)


def test_removed_characters_do_not_move_the_rest_of_a_line() -> None:
    for character in OBEYED:
        text = f"a{character}b"
        assert not obeyed_in(uncontrolled(text))
        assert cell_len(uncontrolled(text)) == cell_len(text)
    assert uncontrolled("👩\u200d💻 名前") == "👩\u200d💻 名前"
