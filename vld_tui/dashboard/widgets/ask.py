"""Dialogs: a line of text, a confirmation, a message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from vld_tui.dashboard.guard import Guarded
from vld_tui.dashboard.widgets.plain_input import PlainInput


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
