"""The first line of the form: which preset it was filled from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Static

from vld_tui.views.numbers import plural
from vld_tui.views.palette import HEADING_STYLE, QUIET_STYLE
from vld_tui.views.text import plain_text


class PresetName(Static, can_focus=True):
    """The preset's name; ``enter`` or a click lists all."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,space", "list", "list", show=False)]

    def action_list(self) -> None:
        """Ask for the list."""
        self.post_message(PresetLine.ListAsked())


class PresetLine(Horizontal):
    """Says which preset was loaded, and whether anything changed since."""

    @dataclass
    class ListAsked(Message):
        """A person wants to see the presets."""

    def __init__(self) -> None:
        super().__init__(classes="field")

    def compose(self) -> ComposeResult:
        """Lay it out as a field."""
        yield Static(Text("  preset"), classes="label")
        with Horizontal(classes="value"):
            yield PresetName()
        yield Static(" ▾", classes="mark")
        yield Static(classes="note")

    def on_click(self, event: events.Click) -> None:
        """Ask for the list."""
        event.stop()
        self.post_message(self.ListAsked())

    def show(self, name: str | None, *, is_changed: bool, count: int) -> None:
        """Show the preset, and how many there are."""
        told = Text(" none", QUIET_STYLE, no_wrap=True)
        if name is not None:
            told = Text(f" {plain_text(name)}", HEADING_STYLE, no_wrap=True)
            told.append(" (changed)" if is_changed else "", QUIET_STYLE)
        self.query_one(PresetName).update(told)
        there = f"{plural(count, 'preset')} to choose from; " if count else ""
        note = Text(f"{there}ctrl+s keeps what is typed under a name.", QUIET_STYLE)
        self.query_one(".note", Static).update(note)
