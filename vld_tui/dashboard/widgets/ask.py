"""Small questions: a line of text, or yes or no; and what is only told."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from vld_tui.dashboard.guard import Guarded
from vld_tui.dashboard.widgets.plain_input import PlainInput


class AskLine(Guarded, ModalScreen[str | None]):
    """Asks for a line of text; ``esc`` answers None."""

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
        """Give the answer."""
        self.dismiss(event.value.strip())


class Confirm(Guarded, ModalScreen[bool]):
    """Asks whether to do something; only ``y`` says yes."""

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


class Told(Guarded, ModalScreen[None]):
    """Tells something that there is nothing to answer to."""

    DEFAULT_CSS = "Told { align: center middle; background: $background 60%; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter", "dismiss(None)", "back")]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """Show the text."""
        with Vertical(classes="question"):
            yield Static(f"{self._text}\n\nesc  back", markup=False)
