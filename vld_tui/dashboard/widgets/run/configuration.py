"""A run's facts and settings, or its differences from another run."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from vld_tui.dashboard.feed import OtherRun, RunDetail
from vld_tui.dashboard.widgets.run.scrolled import ScrolledText
from vld_tui.views.detail import configuration, configuration_difference, run_facts
from vld_tui.words.palette import ALARM_STYLE, QUIET_STYLE
from vld_tui.words.text import plain_text


class ConfigurationPane(ScrolledText):
    """Facts and fields by group, or the fields that differ."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._detail: RunDetail | None = None
        self._other: OtherRun | None = None

    def show_run(self, detail: RunDetail, other: OtherRun | None) -> None:
        """Show a run's facts and fields; with ``other`` only the differing ones."""
        self._detail, self._other = detail, other
        self._show()

    def on_resize(self) -> None:
        """Fit what is shown."""
        self._show()

    def _show(self) -> None:
        detail, other, cells = self._detail, self._other, self.text_cells
        if detail is None or self.size.width == 0:
            return
        run = detail.curves.run
        if other is None:
            facts = run_facts(
                run, detail.progress, detail.attempts, folder=detail.folder, cells=cells
            )
            self.show(facts.append("\n\n").append_text(configuration(run, cells)))
        elif other.run is None:
            problem = plain_text(other.problem or "", keep_newlines=True)
            self.show(Text(f"{problem}\n\n", ALARM_STYLE).append("d: back", QUIET_STYLE))
        else:
            text = configuration_difference(run, other.run, cells)
            self.show(text.append("\n\nd: show every field", QUIET_STYLE))
