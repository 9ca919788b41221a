"""The line of keys follows what can be pressed, and stays while that does."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Button, Static
from textual.widgets._footer import FooterKey

from vld_tui.dashboard.widgets.key_bar import KeyBar


class Zoomed(Static, can_focus=True):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("z", "zoom", "zoom")]

    def action_zoom(self) -> None:
        """Do nothing but be there."""


class Keys(App[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "about", "about"),
        Binding("p", "pause", "pause"),
        Binding("x", "hidden", "hidden", show=False),
    ]
    may_pause = True

    def compose(self) -> ComposeResult:
        yield Button(id="one")
        yield Button(id="two")
        yield Zoomed(id="plot")
        yield KeyBar()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.may_pause if action == "pause" else True

    def action_about(self) -> None: ...

    def action_pause(self) -> None: ...

    def action_hidden(self) -> None: ...

    def keys(self) -> list[FooterKey]:
        return [*self.query_one(KeyBar).query(FooterKey)]

    def words(self) -> set[str]:
        return {key.description for key in self.keys()}


def test_the_keys_are_those_that_can_be_pressed_now() -> None:
    async def scenario() -> None:
        app = Keys()
        async with app.run_test() as pilot:
            app.query_one("#one").focus()
            await pilot.pause()
            assert app.words() == {"about", "pause"}
            app.query_one("#plot").focus()
            await pilot.pause()
            assert app.words() == {"about", "pause", "zoom"}
            app.may_pause = False
            app.refresh_bindings()
            await pilot.pause()
            assert app.words() == {"about", "zoom"}
            app.query_one("#two").focus()
            app.may_pause = True
            app.refresh_bindings()
            await pilot.pause()
            assert app.words() == {"about", "pause"}

    asyncio.run(scenario())


def test_the_same_keys_are_not_made_anew() -> None:
    async def scenario() -> None:
        app = Keys()
        async with app.run_test() as pilot:
            app.query_one("#one").focus()
            await pilot.pause()
            before = app.keys()
            app.query_one("#two").focus()
            await pilot.pause()
            assert app.keys() == before
            app.query_one("#plot").focus()
            await pilot.pause()
            assert app.keys() != before

    asyncio.run(scenario())
