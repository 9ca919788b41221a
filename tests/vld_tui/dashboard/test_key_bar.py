"""The line of keys follows what can be pressed, and stays while that does; it uses the width."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import pytest
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.widgets import Button, Input, Static
from textual.widgets._footer import FooterKey

from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.widgets.key_bar import KeyBar


class Zoomed(Static, can_focus=True):
    BINDINGS: ClassVar[list[BindingType]] = [bind("zoom", "z", "zoom", "zoom")]

    def action_zoom(self) -> None:
        """Do nothing but be there."""


class Keys(App[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("help", "question_mark,f1", "about", "help", show=True),
        bind("last", "x", "last", "last"),
        bind("pause", "p", "pause", "pause", show=True),
        bind("move", "down,j", "down", "down"),
    ]
    may_pause = True

    def compose(self) -> ComposeResult:
        yield Button(id="one")
        yield Button(id="two")
        yield Zoomed(id="plot")
        yield Input(id="text")
        yield KeyBar()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.may_pause if action == "pause" else True

    def action_about(self) -> None: ...

    def action_pause(self) -> None: ...

    def action_last(self) -> None: ...

    def keys(self) -> list[FooterKey]:
        return [*self.query_one(KeyBar).query(FooterKey)]

    def words(self) -> list[str]:
        return [key.description for key in self.keys()]


def test_the_keys_are_those_that_can_be_pressed_now() -> None:
    async def scenario() -> None:
        app = Keys()
        async with app.run_test() as pilot:
            app.query_one("#one").focus()
            await pilot.pause()
            assert app.words() == ["pause", "last", "help"]
            app.query_one("#plot").focus()
            await pilot.pause()
            assert app.words() == ["pause", "zoom", "last", "help"]
            app.may_pause = False
            app.refresh_bindings()
            await pilot.pause()
            assert app.words() == ["zoom", "last", "help"]
            app.query_one("#two").focus()
            app.may_pause = True
            app.refresh_bindings()
            await pilot.pause()
            assert app.words() == ["pause", "last", "help"]

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


@pytest.mark.parametrize(
    ("columns", "words"),
    [(80, ["pause", "last", "help"]), (24, ["pause", "last", "help"]), (20, ["pause", "help"]),
     (6, ["help"])],
)  # fmt: skip
def test_the_first_keys_that_fit_are_shown_and_the_help_is_never_cut(
    columns: int, words: list[str]
) -> None:
    async def scenario() -> None:
        app = Keys()
        async with app.run_test(size=(columns, 24)) as pilot:
            app.query_one("#one").focus()
            await pilot.pause()
            assert app.words() == words
            assert app.keys()[-1].region.right <= columns
            await pilot.resize_terminal(80, 24)
            await pilot.pause()
            assert app.words() == ["pause", "last", "help"]

    asyncio.run(scenario())


def test_keys_that_would_be_text_are_not_shown_while_a_field_has_the_focus() -> None:
    async def scenario() -> None:
        app = Keys()
        async with app.run_test() as pilot:
            app.query_one("#text").focus()
            await pilot.pause()
            assert [(key.key_display, key.description) for key in app.query(FooterKey)] == [
                ("f1", "help")
            ]

    asyncio.run(scenario())
