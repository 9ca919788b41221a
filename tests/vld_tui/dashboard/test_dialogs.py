"""Dialogs: what answers them, their buttons, and their help."""

from __future__ import annotations

import pytest
from textual.events import Key
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Button, Input

from tests.vld_tui.dashboard.fake_history import (
    FakeActions,
    FakeSource,
    make_run,
    play,
    screen_lines,
    settle,
)
from vld_tui.dashboard.app import Dashboard
from vld_tui.dashboard.screens.help import HelpScreen
from vld_tui.dashboard.screens.pick import ChooseColumns, Pick
from vld_tui.dashboard.widgets.ask import Alert, AskLine, Confirm, Question, confirm
from vld_tui.dashboard.widgets.dialog import Dialog

DIALOGS = {
    "columns": ("C", ChooseColumns),
    "group": ("b", Pick),
    "export": ("w", AskLine),
    "kill": ("K", Confirm),
    "settings": ("comma", Dialog),
    "form": ("n", Dialog),
}
"""The key that opens each dialog, and its kind."""


def kind_of_screen(app: Dashboard) -> type[Screen[object]]:
    return type(app.screen)


def source() -> FakeSource:
    return FakeSource([make_run(i, status="running") for i in range(3)])


@pytest.mark.parametrize("key", ["y", "enter", "escape"])
def test_keys_typed_before_a_question_opened_do_not_answer_it(key: str) -> None:
    done: list[str] = []

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        typed = Key(key, key if len(key) == 1 else None)
        confirm(app, "Launch?", lambda: done.append("launched"))
        await pilot.pause()
        app.post_message(typed)
        await pilot.pause()
        assert isinstance(app.screen, Confirm)
        app.post_message(Key(key, key if len(key) == 1 else None))
        await pilot.pause()
        assert not isinstance(app.screen, Confirm)

    play(source(), scenario)
    assert done == (["launched"] if key == "y" else [])


def test_a_question_is_read_before_it_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Question, "grace_s", 3600.0)

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("K", "y")
        assert isinstance(app.screen, Confirm)

    play(source(), scenario)


def test_the_focused_button_declines_and_the_mouse_can_confirm() -> None:
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("K", "enter")
        await settle(pilot)
        assert not isinstance(app.screen, Confirm)
        assert actions.done == []
        await pilot.press("K", "right", "enter")
        await settle(pilot)
        await pilot.press("K")
        await pilot.click(app.screen.query(Button).last())
        await settle(pilot)
        app.push_screen(Alert("done"))
        await pilot.pause()
        await pilot.press("enter")
        assert app.screen is app.home

    play(source(), scenario, actions=actions)
    assert [name for name, *_ in actions.done] == ["kill", "kill"]


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 50)])
@pytest.mark.parametrize("dialog", DIALOGS)
def test_each_dialog_dims_the_screen_has_a_frame_and_a_help(
    dialog: str, size: tuple[int, int]
) -> None:
    key, kind = DIALOGS[dialog]

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press(key)
        await settle(pilot)
        opened: Screen[object] = app.screen
        assert issubclass(type(opened), kind)
        assert 0 < opened.styles.background.a < 1
        (frame,) = opened.query(".frame")
        assert opened.region.contains_region(frame.region)
        assert any("f1 help" in line or "? help" in line for line in screen_lines(app))
        is_typing = app.focused is not None and issubclass(type(app.focused), Input)
        await pilot.press("f1")
        await settle(pilot)
        assert kind_of_screen(app) is HelpScreen
        await pilot.press("question_mark")
        assert kind_of_screen(app) is type(opened)
        await pilot.press("question_mark")
        assert (kind_of_screen(app) is HelpScreen) is not is_typing

    play(source(), scenario, size=size)


def test_a_question_mark_typed_into_a_field_is_text() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("w", "question_mark")
        assert app.screen.query_one(Input).value == "?"

    play(source(), scenario)


def test_the_whole_screen_is_drawn_again_after_a_suspension() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        drawn: list[object] = []
        refresh = app.screen.refresh
        app.screen.refresh = lambda *_, **how: drawn.append(how) or refresh(**how)  # type: ignore
        app.app_resume_signal.publish(app)
        await settle(pilot)
        assert {"layout": True} in drawn

    play(source(), scenario)
