"""A line of text to type, and dialogs: a question, a confirmation, a message."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen, Screen
from textual.widget import Widget
from textual.widgets import Input, Static

from vld_tui.dashboard.guard import Guarded
from vld_tui.home import absolute_path
from vld_tui.words.text import plain_text


class PlainInput(Input):
    """An input whose text may come from outside: control characters are made visible.

    The value is unchanged. Each is replaced by one character, so that the cursor's position is
    right.
    """

    @property
    def _value(self) -> Text:
        """Return the text to draw; the base class draws the value unchanged."""
        shown = (plain_text(character) for character in self.value)
        plain = "".join(each if len(each) == 1 else "�" for each in shown)
        return Text(plain, no_wrap=True, overflow="ignore", end="")


class AskLine(Guarded, ModalScreen[str | None]):
    """Asks for a line of text; ``esc`` returns None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "back")]

    def __init__(self, question: str, *, answer: str = "", example: str = "") -> None:
        super().__init__()
        self._question, self._answer, self._example = question, answer, example

    def compose(self) -> ComposeResult:
        """Lay the question out above its answer."""
        with Vertical(classes="question"):
            yield Static(self._question, markup=False)
            yield PlainInput(self._answer, placeholder=self._example, select_on_focus=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Return the answer."""
        self.dismiss(event.value.strip())


def ask_export(
    app: App[Any], question: str, export: Callable[[str], object], *, example: str
) -> None:
    """Ask for a path and export to it; a path that ends in ``.svg`` gets the screen instead."""

    def answered(path: str | None) -> None:
        if path and path.endswith(".svg"):
            _save_screen(app, path)
        elif path:
            export(path)

    app.push_screen(AskLine(question, example=example), answered)


def _save_screen(app: App[Any], path: str) -> None:
    """Write the screen below the question to a new file, and notify the user."""
    place = absolute_path(path)
    try:
        with place.open("x", encoding="utf-8") as file:
            file.write(app.export_screenshot())
    except OSError as error:
        said = f"{place} cannot be written: {error.strerror}."
        app.notify(said, severity="error", markup=False)
    else:
        app.notify(f"screen saved to {place}", markup=False)


def copy_command(screen: Screen[Any], lines: Sequence[str]) -> None:
    """Copy commands to the terminal's clipboard; none: the form has errors."""
    if not lines:
        screen.notify("No command: the form has errors.", severity="warning")
    elif not all(line.isprintable() for line in lines):
        screen.notify(
            "The command contains characters that are unsafe in a shell.", severity="error"
        )
    else:
        screen.app.copy_to_clipboard("\n".join(lines))
        screen.notify("copied" if len(lines) == 1 else f"{len(lines)} commands copied")


def copy_path(screen: Widget, path: str) -> None:
    """Copy a path to the terminal's clipboard."""
    screen.app.copy_to_clipboard(path)
    screen.notify("Path copied to the clipboard (if the terminal supports it).")


class Confirm(Guarded, ModalScreen[bool]):
    """Asks for confirmation; only ``y`` confirms."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "dismiss(True)", "yes"),
        Binding("n,escape", "dismiss(False)", "no"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """Show the question."""
        with Vertical(classes="question"):
            yield Static(f"{self._question}\n\ny  yes     n  no", markup=False)


def confirm(app: App[Any], question: str, action: Callable[[], object]) -> None:
    """Do something if the user confirms it."""

    def answered(is_meant: bool | None) -> None:
        if is_meant:
            action()

    app.push_screen(Confirm(question), answered)


class Alert(Guarded, ModalScreen[None]):
    """Shows a message."""

    DEFAULT_CSS = "Alert { align: center middle; background: $background 60%; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter", "dismiss(None)", "back")]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """Show the text."""
        with Vertical(classes="question"):
            yield Static(f"{self._text}\n\nesc  back", markup=False)
