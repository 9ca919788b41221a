"""The progress of diagnostics that are computed in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual.widgets import Static

from vld_tui.dashboard.guard import Guarded
from vld_tui.words.palette import QUIET_STYLE

if TYPE_CHECKING:  # not needed for the first frame
    from vld_tui.dashboard.use.diagnosing import DiagnosingProgress


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

    def _show(self, progress: DiagnosingProgress | None) -> None:
        self.display = progress is not None
        if progress is not None:
            cells = self.app.size.width - 2  # the padding; it has no size while it is hidden
            self.update(Text(progress.line(cells), QUIET_STYLE))
