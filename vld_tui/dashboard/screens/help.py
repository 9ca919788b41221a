"""The keys of the current screen."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final, NamedTuple

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import Vertical
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widgets import Static

from vld_tui.dashboard.keys import HELP, bind
from vld_tui.dashboard.widgets.dialog import Dialog
from vld_tui.dashboard.widgets.text import ScrolledText
from vld_tui.words.palette import HEADING_STYLE, ID_STYLE, QUIET_STYLE
from vld_tui.words.text import fit, width

HERE, ON_SCREEN, EVERYWHERE = "focused widget", "this screen", "everywhere"
ADVICE = "esc q ? to close · ↑ ↓ to scroll · tab to another part first for its keys"
NARROWEST_ENTRY: Final = 34
"""Minimum width of a key with its label."""
MOST_KEY_CELLS: Final = 14


class KeyGroup(NamedTuple):
    """Keys that are active in one place, with their labels."""

    title: str
    entries: Sequence[tuple[str, str]]


class HelpScreen(Dialog[None]):
    """A list of keys that scrolls; ``?`` and ``esc`` close it."""

    DEFAULT_CSS = """
    #help { width: 116; height: 100%; padding: 0; }
    #help ScrolledText { height: 1fr; padding: 0 2; }
    #help > Static { height: 1; padding: 0 2; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "escape", "dismiss(None)", "back"),
        bind(HELP, "question_mark,f1", "dismiss(None)", "help"),
        bind("quit", "q", "dismiss(None)", "quit"),
    ]

    def __init__(self, bindings: Mapping[str, ActiveBinding]) -> None:
        super().__init__()
        self._active = dict(bindings)

    def compose(self) -> ComposeResult:
        """Lay out the keys above a hint."""
        with Vertical(id="help", classes="frame"):
            yield ScrolledText(id="help-keys")
            yield Static(Text(ADVICE, QUIET_STYLE))

    def on_resize(self) -> None:
        """Fit the columns."""
        self.call_after_refresh(self._show)

    def _show(self) -> None:
        keys = self.query_one("#help-keys", ScrolledText)
        keys.show(key_list(self._groups(), keys.text_cells))

    def _groups(self) -> list[KeyGroup]:
        """Return the keys by where they are active, grouped by action."""
        found: dict[str, dict[str, list[Binding]]] = {}
        for node, binding, enabled, _ in self._active.values():
            if enabled and binding.description and not binding.system:
                found.setdefault(_place(node), {}).setdefault(binding.action, []).append(binding)
        return [
            KeyGroup(place, [self._entry(bindings) for bindings in found[place].values()])
            for place in (HERE, ON_SCREEN, EVERYWHERE)
            if place in found
        ]

    def _entry(self, bindings: Sequence[Binding]) -> tuple[str, str]:
        """Return the keys of one action and its label, preferring ours over Textual's."""
        keys = dict.fromkeys(self.app.get_key_display(each) for each in bindings)
        ours = next((each for each in bindings if each.id is not None), None)
        about = bindings[0].description.lower() if ours is None else ours.description
        return " ".join(keys), about


def key_list(groups: Sequence[KeyGroup], cells: int) -> Text:
    """Return the groups one after another, their entries in as many columns as fit."""
    columns = max(1, cells // NARROWEST_ENTRY)
    entry_cells = cells // columns
    longest = max((width(keys) for group in groups for keys, _ in group.entries), default=0)
    key_cells = min(MOST_KEY_CELLS, longest)
    text = Text()
    for group in groups:
        text.append("\n" if text else "").append(f"{group.title}\n", HEADING_STYLE)
        height = max(1, -(-len(group.entries) // columns))
        beside = [group.entries[at : at + height] for at in range(0, len(group.entries), height)]
        for row in itertools.zip_longest(*beside):
            for keys, about in filter(None, row):
                shown = f"{fit(keys, max(key_cells, width(keys)), right=True)}  "
                text.append(shown, ID_STYLE)
                text.append(fit(about, entry_cells - width(shown)))
            text.append("\n")
    text.rstrip()
    return text


def _place(node: DOMNode) -> str:
    if isinstance(node, App):
        return EVERYWHERE
    return ON_SCREEN if isinstance(node, Screen) else HERE
