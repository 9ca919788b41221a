"""Keys that arrive in one read, as from a paste or a slow connection, are handled in order."""

from __future__ import annotations

from textual.events import Key, Paste
from textual.pilot import Pilot
from textual.widgets import Input

from tests.vld_tui.dashboard.fake_history import FakeActions, FakeSource, make_run, play, settle
from vld_tui.dashboard.app import Dashboard

RUN = "250101-000000-aaaa"


def send(app: Dashboard, *keys: str) -> None:
    """Let keys arrive at once."""
    for key in keys:
        app.post_message(Key(key, key if len(key) == 1 else None))


def test_a_filter_is_edited_in_the_order_of_the_keys() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("slash")
        send(app, "a", "b", "backspace", "c", "home", "d")
        await settle(pilot)
        assert app.screen.query_one("FilterInput", Input).value == "dac"

    play(FakeSource([make_run(0)]), scenario)


def test_a_field_of_the_form_is_emptied_before_it_is_filled() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("n")
        await settle(pilot)
        field = app.screen.query_one("#seed", Input)
        field.focus()
        await settle(pilot)
        send(app, "9", "ctrl+u", *"0,1,2")
        await settle(pilot)
        assert field.value == "0,1,2"

    play(FakeSource([make_run(0)]), scenario)


def test_what_was_typed_is_accepted_with_the_key_after_it() -> None:
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("f2")
        send(app, "ctrl+u", *"XY1", "enter")
        await settle(pilot)
        await pilot.press("e")
        send(app, *"so", "enter", "x", "ctrl+s")
        await settle(pilot)
        await pilot.press("t")
        app.post_message(Paste("best"))
        send(app, "backspace", "enter")
        await settle(pilot)
        assert app.screen is app.home

    play(FakeSource([make_run(0)]), scenario, actions=actions)
    assert actions.done == [("name", RUN, "XY1"), ("note", RUN, "so\nx"), ("tags", RUN, "bes")]
