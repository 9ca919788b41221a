"""Three charts: of one run its accuracies, domains and loss; of several OOD, ID and loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual.containers import Vertical

from vld_tui.dashboard.feed import RunCurves


class CurveCharts(Vertical):
    """The curves of one run, or of several together."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: object = None

    def show(
        self,
        watched: Sequence[RunCurves],
        *,
        over_seeds: bool = False,
        places: Mapping[str, int] | None = None,
    ) -> None:
        """Draw other runs, or the means over their seeds; ``places`` are those of marked runs."""
        seen = (tuple(watched), over_seeds, dict(places or {}))
        if self._shown == seen or not (watched or self.children):
            return
        self._shown = seen
        # Charts are slow to import, so not before there is something to draw.
        from vld_tui.dashboard.draw.run_series import chart_contents
        from vld_tui.dashboard.widgets.chart import Chart

        if not self.children:
            percents = [Chart(id=name, is_percent=True) for name in ("first", "second")]
            self.mount(*percents, Chart(id="third"))
        contents = chart_contents(watched, over_seeds=over_seeds, places=places or {})
        for chart, content in zip(self.query(Chart), contents, strict=True):
            chart.set_series(content.title, content.series)
