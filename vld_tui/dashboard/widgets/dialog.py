"""What all dialogs, pickers and forms have in common: a frame above the dimmed screen, and help."""

from __future__ import annotations

import time
from typing import ClassVar, Final, TypeVar

from textual.binding import BindingType
from textual.events import Key
from textual.screen import ModalScreen

from vld_tui.dashboard.guard import Guarded
from vld_tui.dashboard.keys import HELP, bind

Result = TypeVar("Result")
OPENS_DIALOG: Final = "opens a dialog"
"""The group of workers that open a dialog: keys wait for them."""
GRACE_S: Final = 0.25
"""Time from the opening of a question until keys answer it, as it is read first."""


class Dialog(Guarded, ModalScreen[Result]):
    """A framed part above the dimmed screen; its first child has the class ``frame``."""

    DEFAULT_CSS = """
    Dialog { align: center middle; background: $background 60%; }
    Dialog > .frame {
        max-width: 100%; max-height: 100%; height: auto; padding: 0 1;
        background: $panel; border: round $border;
    }
    Dialog Footer { background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind(HELP, "question_mark,f1", "app.show_help_panel", "help", show=True),
        bind("suspend", "ctrl+z", "app.suspend_process", "suspend"),
    ]
    grace_s: ClassVar[float | None] = None
    """Time from its opening until keys act; None: keys typed before it opened act too, since
    they are text for it."""

    def __init__(self) -> None:
        super().__init__()
        self._opened_at = time.monotonic()

    def is_too_early(self, key: Key) -> bool:
        """Return whether a key was typed before the user could read the dialog."""
        return self.grace_s is not None and key.time < self._opened_at + self.grace_s
