"""Keys that arrive in one read, as from a paste or a slow connection, are handled in order."""

from __future__ import annotations

import time

import pytest
from textual.events import Key, Paste
from textual.pilot import Pilot
from textual.widgets import Input

from tests.vld_tui.dashboard.fake_history import (
    FakeActions,
    FakeSource,
    make_run,
    play,
    settle,
    settle_until,
)
from vld_tui.dashboard.app import Dashboard
from vld_tui.store.saved_views import SavedView

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


@pytest.mark.parametrize(
    "opening",
    [
        pytest.param(("t",), id="tags"),
        pytest.param(("enter", "t"), id="tags of an opened run"),
        pytest.param(("u",), id="a list that is opened by a message"),
        pytest.param(("u", "enter"), id="a form after a list"),
        pytest.param(("4", "n"), id="on another screen"),
    ],
)
def test_text_typed_with_the_key_that_opens_a_dialog_is_typed_into_its_field(
    opening: tuple[str, ...],
) -> None:
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        send(app, *opening, *"xSzQ", "backspace", "ctrl+d")
        await settle_until(
            pilot, lambda: isinstance(app.focused, Input) and app.focused.value == "xSz"
        )
        await settle(pilot)
        assert isinstance(app.focused, Input)
        assert app.focused.value == "xSz"

    play(FakeSource([make_run(0), make_run(1)]), scenario, actions=actions)
    assert actions.done == []


class SlowViews(FakeActions):
    """Actions that take their time to read the saved views."""

    def views(self) -> dict[str, SavedView]:
        time.sleep(0.2)
        return {}


def test_keys_wait_for_a_dialog_that_a_worker_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    actions = SlowViews()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        send(app, "V", *"xSzQ")
        await settle_until(pilot, lambda: app.screen is not app.home)
        await settle(pilot)
        assert isinstance(app.focused, Input)
        assert app.focused.value == "xSzQ"
        await pilot.press("escape")
        monkeypatch.setattr("vld_tui.dashboard.key_order.LONGEST_OPENING_S", 0.1)
        send(app, "V", *"SzQ")  # dropped: the dialog takes too long
        await settle_until(pilot, lambda: app.screen is not app.home)
        await settle(pilot)
        assert isinstance(app.focused, Input)
        assert app.focused.value == ""

    play(FakeSource([make_run(0)]), scenario, actions=actions)
    assert actions.done == []
