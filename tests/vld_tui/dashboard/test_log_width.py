"""Long lines of a log."""

from __future__ import annotations

import asyncio

import pytest
from textual.app import App, ComposeResult
from textual.widgets import Static

from vld_tui.dashboard.widgets.log import LogPane


class OneLog(App[None]):
    """A log that has the keyboard."""

    def compose(self) -> ComposeResult:
        yield LogPane()


@pytest.mark.parametrize(("line", "is_long"), [("word " * 30, True), ("word", False)])
def test_the_arrows_scroll_to_the_end_of_a_long_line_and_are_named(
    line: str, is_long: bool
) -> None:
    async def play() -> None:
        app = OneLog()
        app.animation_level = "none"
        async with app.run_test(size=(80, 20)) as pilot:
            pane = app.query_one(LogPane)
            pane.show([line], is_cut=False)
            pane.lines.focus()
            await pilot.pause()
            await pilot.press("right")
            await pilot.pause()
            assert ("← →" in str(pane.query_one(Static).render())) == is_long
            assert (pane.lines.scroll_offset.x > 0) == is_long

    asyncio.run(play())
