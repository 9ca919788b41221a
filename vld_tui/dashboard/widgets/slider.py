"""A slider for a number, with stops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from rich.text import Text
from textual import events
from textual.binding import BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from vld_tui.dashboard.keys import bind
from vld_tui.words.palette import QUIET_STYLE

FINE_STEP: Final = 0.01
_NEAR: Final = 1e-9


class Slider(Widget, can_focus=True):
    """Chooses a number in [0, 1); arrow keys move from stop to stop.

    ``value`` is shown on the line; None: not a number.
    """

    DEFAULT_CSS = """
    Slider { height: 1; min-width: 12; }
    Slider:focus { background: $selection; text-style: bold; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("less", "left", "step(-1)", "less"),
        bind("more", "right", "step(1)", "more"),
        bind("a-little-less", "shift+left", "fine(-1)", "slightly less"),
        bind("a-little-more", "shift+right", "fine(1)", "slightly more"),
    ]
    value: reactive[float | None] = reactive[float | None](None)

    @dataclass
    class Moved(Message):
        """The user chose another number."""

        value: float

    @dataclass
    class Typed(Message):
        """The user started to type a number."""

        character: str

    def __init__(self, stops: Sequence[float]) -> None:
        super().__init__()
        self._stops = tuple(sorted(stops))

    def render(self) -> Text:
        """Draw the line, its stops and the value."""
        cells = max(2, self.size.width)
        knob = None if self.value is None else self._cell(self.value, cells)
        stops = {self._cell(stop, cells) for stop in self._stops}
        line = Text(no_wrap=True)
        for cell in range(cells):
            is_low = knob is not None and cell < knob
            if cell == knob:
                line.append("●")
            elif cell in stops:
                line.append("┿" if is_low else "┼", "" if is_low else QUIET_STYLE)
            else:
                line.append("━" if is_low else "─", "" if is_low else QUIET_STYLE)
        return line

    def action_step(self, direction: int) -> None:
        """Move to the next or previous stop."""
        value = 0.0 if self.value is None else self.value
        if direction > 0:
            ahead = [stop for stop in self._stops if stop > value + _NEAR]
        else:
            ahead = [stop for stop in reversed(self._stops) if stop < value - _NEAR]
        if ahead:
            self._move(ahead[0])

    def action_fine(self, direction: int) -> None:
        """Move by 0.01."""
        value = 0.0 if self.value is None else self.value
        self._move(round(value + direction * FINE_STEP, 2))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Move to the mouse, and follow it."""
        self.capture_mouse()
        self._point(event.x)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Follow the mouse while its button is held."""
        if self.app.mouse_captured is self:
            self._point(event.x)

    def on_mouse_up(self, _event: events.MouseUp) -> None:
        """Release the mouse."""
        self.release_mouse()

    def on_key(self, event: events.Key) -> None:
        """Forward keys that start a number."""
        if event.character and event.character in "0123456789.":
            event.stop()
            self.post_message(self.Typed(event.character))

    def _point(self, cell: int) -> None:
        """Choose the stop in this cell, or else the cell's number."""
        cells = max(2, self.size.width)
        cell = min(max(cell, 0), cells - 1)
        found = [stop for stop in self._stops if self._cell(stop, cells) == cell]
        self._move(found[0] if found else round(cell / (cells - 1), 2))

    def _move(self, value: float) -> None:
        value = min(max(value, 0.0), 1 - FINE_STEP)
        if value != self.value:
            self.post_message(self.Moved(value))

    @staticmethod
    def _cell(value: float, cells: int) -> int:
        return min(max(round(value * (cells - 1)), 0), cells - 1)
