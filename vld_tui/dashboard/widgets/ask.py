"""A line of text to type, and dialogs: a question, a confirmation, a message."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Button, Input, Static

from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.widgets.dialog import GRACE_S, Dialog
from vld_tui.dashboard.widgets.key_bar import KeyBar
from vld_tui.home import absolute_path
from vld_tui.words.palette import QUIET_STYLE
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


class AskLine(Dialog[str | None]):
    """Asks for a line of text; ``esc`` returns None."""

    DEFAULT_CSS = "AskLine > .frame { width: 78; padding: 1 2 0 2; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("accept", "enter", "accept", "accept", show=True, priority=True),
        bind("back", "escape", "dismiss(None)", "back", show=True),
    ]

    def __init__(self, question: str, *, answer: str = "", example: str = "") -> None:
        super().__init__()
        self._question, self._answer, self._example = question, answer, example

    def compose(self) -> ComposeResult:
        """Lay the question out above its answer."""
        with Vertical(classes="frame"):
            yield Static(self._question, markup=False)
            yield PlainInput(self._answer, placeholder=self._example, select_on_focus=False)
            yield KeyBar()

    def action_accept(self) -> None:
        """Return the answer."""
        self.dismiss(self.query_one(PlainInput).value.strip())


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


class Question(Dialog[bool]):
    """A text above buttons; keys typed before it could be read do not answer it."""

    DEFAULT_CSS = """
    Question > .frame { width: 78; padding: 1 2 0 2; }
    Question Horizontal { height: 1; margin-top: 1; }
    Question Button {
        min-width: 8; width: auto; padding: 0 1; margin-right: 2;
        background: $boost; color: $foreground;
    }
    Question Button:hover { background: $selection; }
    Question Button:focus { background: $selection; text-style: bold reverse; }
    Question #hint { width: 1fr; text-align: right; color: $foreground; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("choose-left", "left,up", "app.focus_previous", "previous button"),
        bind("choose-right", "right,down", "app.focus_next", "next button"),
    ]
    grace_s: ClassVar[float | None] = GRACE_S
    BUTTONS: ClassVar[Sequence[tuple[str, str]]] = ()
    """The label and the action of each button; the first has the focus."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """Lay out the text above the buttons."""
        with Vertical(classes="frame"):
            yield Static(plain_text(self._text, keep_newlines=True), markup=False)
            with Horizontal():
                for label, action in self.BUTTONS:
                    yield Button(Text(label), compact=True, action=action)
                yield Static(Text("? help", QUIET_STYLE), id="hint")


class Confirm(Question):
    """Asks for confirmation; declining is the default."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("confirm", "y", "dismiss(True)", "yes"),
        bind("decline", "n,escape", "dismiss(False)", "no"),
    ]
    BUTTONS = (("No  n", "screen.dismiss(False)"), ("Yes  y", "screen.dismiss(True)"))


def confirm(app: App[Any], question: str, action: Callable[[], object]) -> None:
    """Do something if the user confirms it."""

    def answered(is_meant: bool | None) -> None:
        if is_meant:
            action()

    app.push_screen(Confirm(question), answered)


class Alert(Question):
    """Shows a message."""

    BINDINGS: ClassVar[list[BindingType]] = [bind("back", "escape", "dismiss(False)", "back")]
    BUTTONS = (("Close  esc", "screen.dismiss(False)"),)
