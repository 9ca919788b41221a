"""A line of the form: a field's name, its text, and what is to say of it."""

from __future__ import annotations

from typing import Final

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Input, Static

from engine.protocol import FIELDS, FieldInfo
from vld_tui.screens.new_run.choices import is_pickable
from vld_tui.screens.new_run.messages import PickAsked
from vld_tui.views.palette import ALARM_STYLE, HEADING_STYLE, QUIET_STYLE
from vld_tui.views.text import plain_text
from vld_tui.widgets.slider import Slider

PAPER_RATES: Final = (0.0, 0.5, 0.9, 0.95)
"""Dropout rates of the paper (Zhang & Bottou, arXiv 2403.00946, section 4)."""
TYPED_MARK: Final = "•"
_HELP: Final = {"seed": "Several, such as 0,1,2, make several runs."}


class PickMark(Static):
    """Opens a field's list by mouse."""

    def __init__(self, field: str) -> None:
        super().__init__(" ▾", classes="mark")
        self._field = field

    def on_click(self, event: events.Click) -> None:
        """Ask for the list."""
        event.stop()
        self.post_message(PickAsked(self._field))


class FieldLine(Horizontal):
    """One field. What is typed differs from what is usual; an empty text is usual, too."""

    def __init__(self, info: FieldInfo, usual: str, typed: str | None) -> None:
        super().__init__(classes="field")
        self.info, self._usual = info, usual
        self._input = Input(
            usual if typed is None else typed, id=info.name, placeholder=usual, compact=True
        )
        self._said, self._labelled = Text(), Text()

    def compose(self) -> ComposeResult:
        """Lay out name, slider, text, mark of a list, and note."""
        yield Static(classes="label")
        with Horizontal(classes="value"):
            if self.info.name == "dropout_rate":
                yield Slider(PAPER_RATES)
            yield self._input
        yield PickMark(self.info.name) if is_pickable(self.info.name) else Static(classes="mark")
        yield Static(classes="note")

    def on_mount(self) -> None:
        """Say what the field is."""
        self.say()

    @property
    def typed(self) -> str | None:
        """Return what was typed; None: nothing that differs from what is usual."""
        text = self._input.value.strip()
        return text if text not in ("", self._usual) else None

    def set_usual(self, usual: str) -> None:
        """Show what is usual now, unless something was typed."""
        if usual == self._usual:
            return
        is_usual = self.typed is None
        self._usual = self._input.placeholder = usual
        if is_usual:
            self._show(usual)

    def load(self, usual: str, typed: str | None) -> None:
        """Show another run's text."""
        self._usual = self._input.placeholder = usual
        self._show(usual if typed is None else typed)

    def say(self, note: str = "", problem: str | None = None) -> None:
        """Show a note beside the field, or why its value cannot be; else what the field is."""
        self._show_label()
        if problem is not None:
            said = Text(plain_text(problem), ALARM_STYLE)
        elif note:
            said = Text(plain_text(note))
        else:
            said = Text(_HELP.get(self.info.name, self.info.help), QUIET_STYLE)
        if said != self._said:
            self._said = said
            self.query_one(".note", Static).update(said)
        for slider in self.query(Slider):
            slider.value = _number(self._input.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Open the list, if there is one."""
        if is_pickable(self.info.name):
            event.stop()
            self.post_message(PickAsked(self.info.name))

    def on_slider_moved(self, message: Slider.Moved) -> None:
        """Write the number that was chosen."""
        message.stop()
        self._input.value = f"{message.value:g}"

    def on_slider_typed(self, message: Slider.Typed) -> None:
        """Let the number be typed."""
        message.stop()
        self._input.value = message.character
        self._input.select_on_focus = False
        self._input.focus()
        self._input.cursor_position = len(message.character)

    def on_input_blurred(self, _event: Input.Blurred) -> None:
        """Let what is typed next replace the text again."""
        self._input.select_on_focus = True

    def _show(self, text: str) -> None:
        with self._input.prevent(Input.Changed):
            self._input.value = text
            self._input.cursor_position = 0

    def _show_label(self) -> None:
        """Show the field's name, marked if something was typed."""
        is_typed = self.typed is not None
        mark = TYPED_MARK if is_typed else " "
        name = self.info.flag.removeprefix("--")
        label = Text(f"{mark} {name}", HEADING_STYLE if is_typed else "", no_wrap=True)
        if label != self._labelled:
            self._labelled = label
            self.query_one(".label", Static).update(label)


def hint(info: FieldInfo) -> str:
    """Return all that is to say of a field: what it is, its range and unit."""
    allowed = info.allowed if info.allowed != "text" else ""
    if base := FIELDS[info.name].unit:
        allowed = f"{allowed}; unit: {base}" if allowed else f"unit: {base}"
    help_text = f"{info.help} {_HELP[info.name]}" if info.name in _HELP else info.help
    return f"{info.flag}  {help_text}" + (f" [{allowed}]" if allowed else "")


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < 1 else None
