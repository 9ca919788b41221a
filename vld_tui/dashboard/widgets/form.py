"""The lines of a form: fields with their names, values and notes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.message import Message
from textual.reactive import reactive
from textual.suggester import Suggester
from textual.widget import Widget
from textual.widgets import Input

from vld_tui.dashboard.widgets.ask import PlainInput
from vld_tui.dashboard.widgets.slider import Slider
from vld_tui.words.palette import ALARM_STYLE, HEADING_STYLE, QUIET_STYLE
from vld_tui.words.text import plain_text

TYPED_MARK: Final = "•"
NAME_CELLS: Final = 21
NARROW_CELLS: Final = 27
RATE_CELLS: Final = 8


@dataclass(frozen=True)
class FormField:
    """What a line of a form shows of a field.

    Attributes:
        name: identifies the field.
        label: its name for the user.
        note: what is shown next to it.
        is_pickable: its values can be listed.
        stops: numbers of a slider; empty: none.
        suggester: completes what is typed.
    """

    name: str
    label: str
    note: str
    is_pickable: bool = False
    stops: tuple[float, ...] = ()
    suggester: Suggester | None = None


@dataclass
class PickAsked(Message):
    """The user wants to pick a field's value from a list."""

    field: str


class FormLines(VerticalScroll, can_focus=False, inherit_bindings=False):
    """The lines; arrow keys move the focus instead of scrolling."""

    DEFAULT_CSS = "FormLines { height: 1fr; scrollbar-size-vertical: 1; }"

    def on_resize(self) -> None:
        """Keep the focused line in view, as the help below has more or fewer lines."""
        if (focused := self._focused) is not None:
            self.call_after_refresh(focused.scroll_visible, animate=False)

    def keep_place(self) -> None:
        """Keep the focused line where it is on the screen while lines above it come or go."""
        if (focused := self._focused) is None:
            return
        above = self._row_of(focused) - self.scroll_offset.y

        def follow() -> None:
            if focused.has_focus:
                top = self._row_of(focused) - above
                self.scroll_to(y=top, animate=False, immediate=True)
                focused.scroll_visible(animate=False)

        self.call_after_refresh(follow)

    def _row_of(self, widget: Widget) -> int:
        """Return the row of a widget among all lines, wherever these are scrolled."""
        inner = itertools.takewhile(lambda each: each is not self, widget.ancestors_with_self)
        return sum(each.virtual_region.y for each in inner if isinstance(each, Widget))

    @property
    def _focused(self) -> Widget | None:
        focused = self.screen.focused
        return focused if focused is not None and self in focused.ancestors else None


class CompletingInput(PlainInput):
    """An input whose ``tab`` accepts the suggestion, as in a shell, or moves on without one."""

    async def on_key(self, event: events.Key) -> None:
        """Accept the suggestion."""
        is_at_end = self.cursor_position >= len(self.value)
        if event.key == "tab" and is_at_end and len(self._suggestion) > len(self.value):
            event.stop()
            event.prevent_default()
            self.action_cursor_right()


class FieldLine(Widget):
    """One field. An empty text, or the default's, counts as not typed.

    Name and note are drawn around the text, since a widget for each would slow the form down.
    """

    DEFAULT_CSS = """
    FieldLine { height: 1; layout: horizontal; text-wrap: nowrap; text-overflow: ellipsis; }
    FieldLine:hover { background: $boost; }
    FieldLine Input { height: 1; border: none; padding: 0 1; background: $boost; }
    FieldLine Input:focus { border: none; background: $selection; }
    """
    value_cells: reactive[int] = reactive(NARROW_CELLS)
    """Width of the editing widget."""

    def __init__(self, field: FormField, usual: str, typed: str | None) -> None:
        super().__init__()
        self.field, self._usual = field, usual
        self._input = CompletingInput(
            usual if typed is None else typed, id=field.name, suggester=field.suggester
        )
        self._input.placeholder = plain_text(usual)
        self._slider = Slider(field.stops) if field.stops else None
        self._note = Text(field.note, QUIET_STYLE)
        self._was_typed: bool | None = None

    def compose(self) -> ComposeResult:
        """Lay out the editing widget."""
        if self._slider is not None:
            yield self._slider
        yield self._input

    def render(self) -> Text:
        """Draw the name, the mark of a list, and the note."""
        is_typed = self.typed is not None
        name = f"{TYPED_MARK if is_typed else ' '} {self.field.label}"
        line = Text(no_wrap=True).append(name, HEADING_STYLE if is_typed else "")
        line.pad_right(NAME_CELLS + self.value_cells - line.cell_len)
        line.append(f" {'▾' if self.field.is_pickable else ' '} ", QUIET_STYLE)
        return line.append_text(self._note)

    def watch_value_cells(self, cells: int) -> None:
        """Fit the editing widget."""
        if self._slider is not None:
            self._slider.styles.margin = (0, 1, 0, NAME_CELLS)
            self._slider.styles.width = cells - RATE_CELLS - 1
            self._input.styles.width = RATE_CELLS
        else:
            self._input.styles.margin = (0, 0, 0, NAME_CELLS)
            self._input.styles.width = cells

    def go(self) -> None:
        """Focus the editing widget immediately, so that it gets the next key."""
        self.screen.set_focus(self._slider or self._input)

    def put(self, text: str) -> None:
        """Set the text as if typed."""
        self._input.value = text

    @property
    def typed(self) -> str | None:
        """Return the typed text; None if it is the default."""
        text = self._input.value.strip()
        return text if text not in ("", self._usual) else None

    def set_usual(self, usual: str) -> None:
        """Show the present default, unless a text was typed."""
        if usual == self._usual:
            return
        is_usual = self.typed is None
        self._keep_usual(usual)
        if is_usual:
            self._show(usual)

    def load(self, usual: str, typed: str | None) -> None:
        """Show another run's text."""
        self._keep_usual(usual)
        self._show(usual if typed is None else typed)

    def say(self, note: str = "", problem: str | None = None) -> None:
        """Show a note or a problem next to the field, else its help."""
        if problem is not None:
            said = Text(plain_text(problem), ALARM_STYLE)
        elif note:
            said = Text(plain_text(note))
        else:
            said = Text(self.field.note, QUIET_STYLE)
        is_typed = self.typed is not None
        if said != self._note or is_typed != self._was_typed:
            self._note, self._was_typed = said, is_typed
            self.refresh()
        if self._slider is not None:
            self._slider.value = _number(self._input.value)

    def on_click(self, event: events.Click) -> None:
        """Open the list by its mark or the note after it; elsewhere, focus the field."""
        is_mark = event.x >= NAME_CELLS + self.value_cells
        if event.widget is self and is_mark and self.field.is_pickable:
            self.post_message(PickAsked(self.field.name))
        elif event.widget is self:
            self.go()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Open the list, if there is one."""
        if self.field.is_pickable:
            event.stop()
            self.post_message(PickAsked(self.field.name))

    def on_slider_moved(self, message: Slider.Moved) -> None:
        """Set the chosen number."""
        message.stop()
        self._input.value = f"{message.value:g}"

    def on_slider_typed(self, message: Slider.Typed) -> None:
        """Edit the number as text, including keys typed before the focus moved."""
        message.stop()
        if self.screen.focused is self._input:
            self._input.insert_text_at_cursor(message.character)
            return
        self._input.value = message.character
        self._input.select_on_focus = False
        self.screen.set_focus(self._input)
        self._input.cursor_position = len(message.character)

    def on_input_blurred(self, _event: Input.Blurred) -> None:
        """Select the text, so that the next key replaces it."""
        self._input.select_on_focus = True

    def _keep_usual(self, usual: str) -> None:
        self._usual = usual
        self._input.placeholder = plain_text(usual)

    def _show(self, text: str) -> None:
        with self._input.prevent(Input.Changed):
            self._input.value = text
            self._input.cursor_position = 0


def line_of(widget: Widget) -> Widget:
    """Return the field that a widget is part of, or the widget."""
    fields = (each for each in widget.ancestors_with_self if isinstance(each, FieldLine))
    return next(fields, widget)


def next_line(chain: Sequence[Widget], focused: Widget, step: int) -> Widget:
    """Return the line after that of the focused widget, or before it (−1), cyclically.

    ``chain`` has every focusable widget, in order.
    """
    lines = list(dict.fromkeys(map(line_of, chain)))
    return lines[(lines.index(line_of(focused)) + step) % len(lines)]


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < 1 else None
