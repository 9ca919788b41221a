"""The lines of the form: the preset, the fields, and groups of fields that fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Input, Static

from engine.protocol import FIELDS, FieldInfo
from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.screens.new_run.knowledge import is_pickable, typed_words
from vld_tui.dashboard.widgets.ask import PlainInput
from vld_tui.dashboard.widgets.slider import Slider
from vld_tui.words.numbers import plural
from vld_tui.words.palette import ALARM_STYLE, HEADING_STYLE, QUIET_STYLE
from vld_tui.words.text import plain_text

PAPER_RATES: Final = (0.0, 0.5, 0.9, 0.95)
"""Dropout rates of the paper (Zhang & Bottou, arXiv 2403.00946, section 4)."""
TYPED_MARK: Final = "•"
NAME_CELLS: Final = 21
NARROW_CELLS: Final = 27
RATE_CELLS: Final = 8
MARK_CELLS: Final = 3
_NOTES: Final = {"seed": "Several seeds, such as 0,1,2, start several runs."}


@dataclass
class PickAsked(Message):
    """The user wants to pick a field's value from a list."""

    field: str


class FieldLine(Widget):
    """One field. An empty text, or the default's, counts as not typed.

    Name and note are drawn around the text, since a widget for each would slow the form down.
    """

    DEFAULT_CSS = """
    FieldLine { height: 1; layout: horizontal; text-wrap: nowrap; text-overflow: ellipsis; }
    FieldLine Input { height: 1; border: none; padding: 0 1; background: $boost; }
    FieldLine Input:focus { border: none; background: $primary 40%; }
    """
    value_cells: reactive[int] = reactive(NARROW_CELLS)
    """Width of the editing widget."""

    def __init__(self, info: FieldInfo, usual: str, typed: str | None) -> None:
        super().__init__()
        self.info, self._usual = info, usual
        self._input = PlainInput(usual if typed is None else typed, id=info.name)
        self._input.placeholder = plain_text(usual)
        self._slider = Slider(PAPER_RATES) if info.name == "dropout_rate" else None
        self._note = Text(_note(info), QUIET_STYLE)
        self._was_typed: bool | None = None

    def compose(self) -> ComposeResult:
        """Lay out the editing widget."""
        if self._slider is not None:
            yield self._slider
        yield self._input

    def render(self) -> Text:
        """Draw the name, the mark of a list, and the note."""
        is_typed = self.typed is not None
        name = f"{TYPED_MARK if is_typed else ' '} {self.info.flag.removeprefix('--')}"
        line = Text(no_wrap=True).append(name, HEADING_STYLE if is_typed else "")
        line.pad_right(NAME_CELLS + self.value_cells - line.cell_len)
        line.append(f" {'▾' if is_pickable(self.info.name) else ' '} ", QUIET_STYLE)
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
            said = Text(_note(self.info), QUIET_STYLE)
        is_typed = self.typed is not None
        if said != self._note or is_typed != self._was_typed:
            self._note, self._was_typed = said, is_typed
            self.refresh()
        if self._slider is not None:
            self._slider.value = _number(self._input.value)

    def on_click(self, event: events.Click) -> None:
        """Open the list by its mark; elsewhere, focus the field."""
        is_mark = 0 <= event.x - NAME_CELLS - self.value_cells < MARK_CELLS
        if event.widget is self and is_mark and is_pickable(self.info.name):
            self.post_message(PickAsked(self.info.name))
        elif event.widget is self:
            self.go()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Open the list, if there is one."""
        if is_pickable(self.info.name):
            event.stop()
            self.post_message(PickAsked(self.info.name))

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


class GroupTitle(Static, can_focus=True):
    """The title of a group; ``enter``, ``space`` or a click unfolds it."""

    DEFAULT_CSS = """
    GroupTitle { height: 1; width: 100%; text-wrap: nowrap; text-overflow: ellipsis; }
    GroupTitle:hover { background: $boost; }
    GroupTitle:focus { background: $primary 40%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("toggle-group", "enter,space", "switch", "fold or unfold"),
        bind("unfold", "right", "unfold(True)", "unfold"),
        bind("fold", "left", "unfold(False)", "fold"),
    ]

    def on_click(self) -> None:
        """Fold or unfold."""
        self.action_switch()

    def action_switch(self) -> None:
        """Fold or unfold."""
        if isinstance(self.parent, FieldGroup):
            self.parent.unfold(not self.parent.is_unfolded)

    def action_unfold(self, is_wanted: bool) -> None:
        """Fold or unfold."""
        if isinstance(self.parent, FieldGroup):
            self.parent.unfold(is_wanted)


class FieldGroup(Vertical):
    """The fields of a group that are folded by default."""

    DEFAULT_CSS = "FieldGroup { height: auto; }"

    def __init__(self, group: str, lines: Sequence[FieldLine]) -> None:
        super().__init__()
        self.group, self._lines = group, tuple(lines)
        self.is_unfolded = False
        self._problems: Mapping[str, str] = {}
        self._told = ""

    def compose(self) -> ComposeResult:
        """Lay out the title; the fields are created when first unfolded."""
        yield GroupTitle()

    def on_mount(self) -> None:
        """Show the summary."""
        self.say({})

    def unfold(self, is_wanted: bool) -> None:
        """Show or hide the fields."""
        self.is_unfolded = is_wanted
        if is_wanted and self._lines[0].parent is None:
            self.mount_all(self._lines)
        for line in self._lines:
            line.display = is_wanted
        if is_wanted:
            self.call_after_refresh(self.scroll_visible)
        self.say(self._problems)

    def say(self, problems: Mapping[str, str]) -> None:
        """Show which fields were changed, and what is wrong; ``problems`` are by field."""
        self._problems = problems
        typed = {line.info.name: line.typed for line in self._lines}
        changed = {name: text for name, text in typed.items() if text is not None}
        mark = TYPED_MARK if changed else " "
        title = Text(no_wrap=True)
        title.append(f"{mark} {'▾' if self.is_unfolded else '▸'} {self.group}", HEADING_STYLE)
        title.pad_right(max(1, NAME_CELLS - title.cell_len))
        mine = [problems[line.info.name] for line in self._lines if line.info.name in problems]
        if mine:
            title.append(plain_text(mine[0]), ALARM_STYLE)
        elif changed and not self.is_unfolded:
            title.append(plain_text(typed_words(changed)))
        elif not self.is_unfolded:
            names = " ".join(FIELDS[name].label for name in typed)
            title.append(f"{plural(len(self._lines), 'field')} at defaults: {names}", QUIET_STYLE)
        if title.markup != self._told:
            self._told = title.markup
            self.query_one(GroupTitle).update(title)


def hint(info: FieldInfo) -> str:
    """Return the full help of a field, with range and unit."""
    allowed = info.allowed if info.allowed != "text" else ""
    if info.unit:
        allowed = f"{allowed}; unit: {info.unit}" if allowed else f"unit: {info.unit}"
    help_text = info.help if info.name not in _NOTES else f"{info.help} {_NOTES[info.name]}"
    return f"{info.flag}  {help_text}" + (f" [{allowed}]" if allowed else "")


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


def _note(info: FieldInfo) -> str:
    return _NOTES.get(info.name, info.help)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < 1 else None
