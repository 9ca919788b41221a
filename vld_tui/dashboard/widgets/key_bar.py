"""The last line of a screen: its most useful keys, as many as fit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding
from textual.events import Resize
from textual.widget import Widget
from textual.widgets import Footer, Input, TextArea
from textual.widgets._footer import FooterKey

from vld_tui.dashboard.keys import HELP, is_movement
from vld_tui.words.text import width

GAP_CELLS: Final = 2


class KeyField(Input):
    """A field whose own keys are the only ones in the bar while it is typed in."""


class BarKey(NamedTuple):
    """A key of the bar with the label of its action."""

    key: str
    shown: str
    binding: Binding
    is_enabled: bool
    tooltip: str

    @property
    def cells(self) -> int:
        """Return its width with the gap after it."""
        return width(self.shown) + 1 + width(self.binding.description) + GAP_CELLS


class KeyBar(Footer):
    """Textual's footer with the keys that fit, the help always among them.

    It is rebuilt only when its keys change: Textual rebuilds every widget and lays out the whole
    screen whenever the focus moves.
    """

    DEFAULT_CSS = "KeyBar.-compact FooterKey { margin-right: 2; }"

    def __init__(self) -> None:
        super().__init__(compact=True, show_command_palette=False)
        self._shown: Sequence[BarKey] | None = None
        self._left_out: frozenset[str] = frozenset()

    def leave_out(self, actions: Collection[str]) -> None:
        """Leave out the keys of actions that do nothing at present; they only explain why."""
        self._left_out = frozenset(actions)
        self.call_later(self.recompose)  # which changes nothing if the keys are the same

    def compose(self) -> ComposeResult:
        """Create a widget for each key, once the screen exists."""
        if self._shown is None:
            return
        self._shown = self._keys()
        for each in self._shown:
            yield FooterKey(
                each.key,
                each.shown,
                each.binding.description,
                each.binding.action,
                disabled=not each.is_enabled,
                tooltip=each.tooltip,
                classes="-compact",
            ).data_bind(compact=Footer.compact)

    async def recompose(self) -> None:
        """Show the active keys that fit, if they changed."""
        if self.is_attached and self._keys() != self._shown:
            self._shown = []
            await super().recompose()

    def on_resize(self, _event: Resize) -> None:
        """Show as many keys as fit."""
        self.call_after_refresh(self.recompose)

    def _keys(self) -> list[BarKey]:
        return fitting(self._candidates(), self.size.width or self.app.size.width)

    def _candidates(self) -> list[BarKey]:
        """Return the keys of all actions but movements, one for each, the most useful first; of
        a field with keys of its own, only those."""
        focused = self.screen.focused
        is_typing = takes_text(focused)
        found: dict[str, BarKey] = {}
        for node, binding, enabled, tooltip in self.screen.active_bindings.values():
            if isinstance(focused, KeyField) and node is not focused:
                continue
            shown = self.app.get_key_display(binding)
            is_usable = binding.id is not None and not (is_typing and len(shown) == 1)
            is_shown_elsewhere = is_movement(binding) or shown.isdigit()  # by tabs, for digits
            is_usable = is_usable and binding.action not in self._left_out
            if is_usable and (binding.show or not is_shown_elsewhere):
                key = BarKey(binding.key, shown, binding, enabled, tooltip)
                found.setdefault(binding.action, key)
        return sorted(found.values(), key=lambda each: not each.binding.show)


def takes_text(widget: Widget | None) -> bool:
    """Return whether keys typed into a widget are text."""
    return isinstance(widget, Input | TextArea)


def fitting(keys: Iterable[BarKey], cells: int) -> list[BarKey]:
    """Return the first keys that fit into a line, and that of the help, which is the last."""
    every = list(keys)
    last = [each for each in every if each.binding.id == HELP]
    room = cells + GAP_CELLS - sum(each.cells for each in last)
    fit: list[BarKey] = []
    for each in every:
        if each in last:
            continue
        if (room := room - each.cells) < 0:
            break
        fit.append(each)
    return fit + last
