"""Every field of a run, or where it differs from another run."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from vld_tui.dashboard.feed import OtherRun
from vld_tui.dashboard.widgets.run.scrolled import ScrolledText
from vld_tui.runs.progress import Progress
from vld_tui.runs.run import Run
from vld_tui.views.configuration import (
    combination_text,
    configuration,
    configuration_difference,
)
from vld_tui.words.palette import ALARM_STYLE, QUIET_STYLE
from vld_tui.words.text import plain_text


class ConfigurationPane(ScrolledText):
    """Fields by group, or those that differ."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._run: Run | None = None
        self._progress = Progress()
        self._other: OtherRun | None = None

    def show_run(self, run: Run, progress: Progress, other: OtherRun | None) -> None:
        """Show what a run combines, and its fields; with ``other`` only those that differ."""
        self._run, self._progress, self._other = run, progress, other
        self._show()

    def on_resize(self) -> None:
        """Fit what is shown."""
        self._show()

    def _show(self) -> None:
        run, other = self._run, self._other
        if run is None or self.size.width == 0:
            return
        if other is None:
            fields = configuration(run, self.text_cells)
            if run.combination is not None:
                fields = combination_text(run.combination, self._progress).append_text(fields)
            self.show(fields)
        elif other.run is None:
            problem = plain_text(other.problem or "", keep_newlines=True)
            self.show(Text(f"{problem}\n\n", ALARM_STYLE).append("d goes back", QUIET_STYLE))
        else:
            text = configuration_difference(run, other.run, self.text_cells)
            self.show(text.append("\n\nd shows every field again", QUIET_STYLE))
