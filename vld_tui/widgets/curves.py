"""Three charts: of one run its accuracies, domains and loss; of several OOD, ID and loss."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical

from vld_tui.feed import RunCurves
from vld_tui.views.run_series import chart_contents
from vld_tui.widgets.chart import Chart


class Curves(Vertical):
    """The curves of a run, or of several over one another."""

    def compose(self) -> ComposeResult:
        """Lay out the charts."""
        yield Chart(id="first", is_percent=True)
        yield Chart(id="second", is_percent=True)
        yield Chart(id="third")

    def show(self, watched: Sequence[RunCurves], *, over_seeds: bool = False) -> None:
        """Draw these runs instead of those before, or the means over their seeds."""
        contents = chart_contents(watched, over_seeds=over_seeds)
        for chart, content in zip(self.query(Chart), contents, strict=True):
            chart.set_series(content.title, content.series)
