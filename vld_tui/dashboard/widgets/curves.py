"""Three charts: of one run its accuracies, domains and loss; of several OOD, ID and loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from rich.text import Text
from textual.containers import Vertical
from textual.widgets import Static

from vld_tui.dashboard.feed import RunCurves
from vld_tui.dashboard.messages import TimesNeeded
from vld_tui.views.combined import step_label
from vld_tui.views.phase import activity
from vld_tui.words.palette import QUIET_STYLE
from vld_tui.words.text import plain_text

if TYPE_CHECKING:  # charts are slow to import, so not before there is something to draw
    from vld_tui.dashboard.widgets.chart import Chart


class CurveCharts(Vertical):
    """The curves of one run, or of several together; the charts show the same steps."""

    DEFAULT_CSS = """
    CurveCharts > #waiting { display: none; width: 1fr; height: 1fr; content-align: center middle; }
    CurveCharts.-waiting > * { display: none; }
    CurveCharts.-waiting > #waiting { display: block; }
    """

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
        if any(each.run.is_live for each in watched) and not any(each.curves for each in watched):
            self._show_waiting(watched)
            return
        self.remove_class("-waiting")
        from vld_tui.dashboard.draw.run_series import chart_contents
        from vld_tui.dashboard.widgets.chart import Chart
        from vld_tui.views.plot import STEP_NAME

        if not self.query(Chart):
            percents = [Chart(id=name, is_percent=True) for name in ("first", "second")]
            self.mount(*percents, Chart(id="third"))
        contents = chart_contents(watched, over_seeds=over_seeds, places=places or {})
        every = [series for content in contents for series in content.series]
        length = max((each.run.steps for each in watched), default=0)
        name = partial(step_label, task=watched[0].run.task) if len(watched) == 1 else STEP_NAME
        for chart, content in zip(self.query(Chart), contents, strict=True):
            chart.set_series(
                content.title, content.series, beside=every, length=length, step_name=name
            )
        self._hide_empty()

    def on_chart_view_changed(self, message: Chart.ViewChanged) -> None:
        """Show the same steps and the value cursor in every chart."""
        from vld_tui.dashboard.widgets.chart import Chart

        message.stop()
        for chart in self.query(Chart):
            if chart is not message.chart:
                chart.follow(message.view)
        if message.view.x_scale != "step":
            self.post_message(TimesNeeded())
        self._hide_empty()

    def _hide_empty(self) -> None:
        """Leave out charts without values, but not all, or not the one with the focus."""
        from vld_tui.dashboard.widgets.chart import Chart

        charts = list(self.query(Chart))
        for chart in charts:
            chart.set_class(chart.plot.is_empty and not chart.has_focus, "-empty")
        if charts and all(chart.has_class("-empty") for chart in charts):
            charts[0].remove_class("-empty")

    def _show_waiting(self, watched: Sequence[RunCurves]) -> None:
        """Show what runs without any value are doing, in place of empty charts."""
        text = Text(justify="center")
        for each in watched:
            name = f"{plain_text(each.run.label)}: " if len(watched) > 1 else ""
            text.append(f"{name}{activity(each.run) or each.run.status}\n")
        text.append("The curves begin with the first evaluation.", QUIET_STYLE)
        if not self.query("#waiting"):
            self.mount(Static(id="waiting"), before=0)
        self.query_one("#waiting", Static).update(text)
        self.add_class("-waiting")
