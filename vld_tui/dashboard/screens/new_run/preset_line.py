"""The first line of the form: the loaded preset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual.binding import BindingType
from textual.message import Message
from textual.widgets import Static

from vld_tui.dashboard.bindings import bind
from vld_tui.dashboard.screens.new_run.lines import NAME_CELLS
from vld_tui.words.numbers import plural
from vld_tui.words.palette import HEADING_STYLE, QUIET_STYLE
from vld_tui.words.text import plain_text


class PresetLine(Static, can_focus=True):
    """Shows which preset was loaded, and whether anything changed since.

    ``enter`` or a click lists all presets.
    """

    DEFAULT_CSS = """
    PresetLine { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    PresetLine:hover { background: $boost; }
    PresetLine:focus { background: $primary 40%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("list-presets", "enter,space", "list", "list presets")
    ]

    @dataclass
    class ListAsked(Message):
        """The user wants to see the presets."""

    def on_click(self) -> None:
        """List the presets."""
        self.action_list()

    def action_list(self) -> None:
        """List the presets."""
        self.post_message(self.ListAsked())

    def show(self, name: str | None, *, is_changed: bool, count: int) -> None:
        """Show the preset, and the number of presets."""
        line = Text("  ", no_wrap=True)
        line.append("New run", HEADING_STYLE)
        line.pad_right(NAME_CELLS - line.cell_len)
        if name is None:
            there = f"{plural(count, 'preset')} available ▾" if count else "no presets yet"
            line.append(f"{there} · ctrl+s saves these values as a preset", QUIET_STYLE)
        else:
            line.append("preset ", QUIET_STYLE).append(plain_text(name), HEADING_STYLE)
            line.append(" (changed)" if is_changed else "", QUIET_STYLE).append(" ▾", QUIET_STYLE)
        self.update(line)
