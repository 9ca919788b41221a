"""The progress of diagnostics that are computed in the background."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import Static

from vld_tui.dashboard.guard import Guarded
from vld_tui.words.palette import QUIET_STYLE
from vld_tui.words.text import plain_text


class DiagnosingLine(Guarded, Static):
    """A line of progress; hidden while nothing is computed.

    It shows the reactive ``diagnosing`` of the application.
    """

    DEFAULT_CSS = """
    DiagnosingLine { height: 1; padding: 0 1; display: none;
                     text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def on_mount(self) -> None:
        """Follow the application's progress."""
        self.watch(self.app, "diagnosing", self._show)

    def _show(self, progress: str) -> None:
        self.display = bool(progress)
        self.update(Text(plain_text(progress), QUIET_STYLE))
