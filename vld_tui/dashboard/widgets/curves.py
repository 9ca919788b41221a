"""Three charts: of one run its accuracies, domains and loss; of several OOD, ID and loss.

Or the first of them above charts of what the runs used of their machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import Static

from vld_tui.dashboard.feed import RunCurves
from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.messages import TimesNeeded
from vld_tui.runs.run import BROKEN_OFF, QUEUED
from vld_tui.views.combined import step_label
from vld_tui.views.phase import activity
from vld_tui.views.system import Panel, no_samples
from vld_tui.words.palette import QUIET_STYLE
from vld_tui.words.text import plain_text

if TYPE_CHECKING:  # charts are slow to import, so not before there is something to draw
    from vld_tui.dashboard.widgets.chart import Chart


RESULTS: Final = "#first, #second, #third"
"""The charts of results; those of the machine have the class ``-panel``."""

FEWEST_ROWS, FEWEST_CELLS = 5, 32
"""Minimum size of a chart of the machine, and of the one above them."""


class CurveCharts(Vertical):
    """The curves of one run, or of several together; the charts show the same steps.

    Charts of what the runs used of their machine take the place of all but the first.
    """

    DEFAULT_CSS = """
    CurveCharts > #waiting { display: none; width: 1fr; height: 1fr; content-align: center middle; }
    CurveCharts.-waiting > * { display: none; }
    CurveCharts.-waiting > #waiting { display: block; }
    CurveCharts > .-panel, CurveCharts > #no-samples { display: none; }
    CurveCharts.-machine { overflow: auto; }
    CurveCharts.-machine > #second, CurveCharts.-machine > #third { display: none; }
    CurveCharts.-machine > .-panel { display: block; }
    CurveCharts.-machine > .-panel.-empty { display: none; }
    CurveCharts.-machine.-no-samples > #no-samples { display: block; dock: bottom; height: 1; }
    CurveCharts.-machine.-waiting > Chart { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [bind("hardware", "H", "hardware", "hardware")]

    def __init__(self) -> None:
        super().__init__()
        self._shown: tuple[tuple[RunCurves, ...], bool, dict[str, int]] | None = None

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
        if self._has_nothing_to_draw(watched):
            self._show_waiting(watched)
            return
        self.remove_class("-waiting")
        self._draw()

    def _has_nothing_to_draw(self, watched: Sequence[RunCurves]) -> bool:
        """Return whether no run has a value, and one of them may still get some."""
        if any(each.run.is_live for each in watched):
            return not any(not key.is_system for each in watched for key in each.curves)
        can_start = any(each.run.status in (QUEUED, *BROKEN_OFF) for each in watched)
        return can_start and not any(each.curves for each in watched)

    def action_hardware(self) -> None:
        """Show what the runs used of their machine below the first chart, or all results again."""
        self.toggle_class("-machine")
        if self.query(RESULTS):
            self._draw()
            if self.has_focus_within:  # perhaps in a chart that is hidden now
                self.query_one("#first").focus()

    def _draw(self) -> None:
        from vld_tui.dashboard.draw.run_series import (
            ChartContent,
            chart_contents,
            system_contents,
        )
        from vld_tui.dashboard.widgets.chart import Chart
        from vld_tui.views.plot import STEP_NAME

        if self._shown is None:
            return
        watched, over_seeds, places = self._shown
        if not self.query(RESULTS):
            percents = [Chart(id=name, is_percent=True) for name in ("first", "second")]
            self.mount(*percents, Chart(id="third"), Static(id="no-samples"))
        contents = dict(
            zip(
                self.query(RESULTS).results(Chart),
                chart_contents(watched, over_seeds=over_seeds, places=places),
                strict=True,
            )
        )
        if self.has_class("-machine"):
            panels = system_contents(watched, places=places)
            of_machine = {self._panel(panel): content for panel, content in panels.items()}
            others = self.query(".-panel").results(Chart)
            contents |= dict.fromkeys(others, ChartContent("", ())) | of_machine
            text = no_samples(each.run for each in watched)
            self.query_one("#no-samples", Static).update(Text(text, QUIET_STYLE))
        every = [series for content in contents.values() for series in content.series]
        length = max((each.run.steps for each in watched), default=0)
        name = partial(step_label, task=watched[0].run.task) if len(watched) == 1 else STEP_NAME
        for chart, content in contents.items():
            chart.set_series(
                content.title, content.series, aligned=every, length=length, step_name=name
            )
        self._hide_empty()

    def _panel(self, panel: Panel) -> Chart:
        """Return the chart of a panel; a new one has the view of the first chart."""
        from vld_tui.dashboard.widgets.chart import Chart

        for known in self.query(f"#machine-{panel.name}").results(Chart):
            return known
        chart = Chart(id=f"machine-{panel.name}", classes="-panel", is_percent=panel.is_percent)
        self.mount(chart)
        chart.follow(self.query_one("#first", Chart).plot.view)
        return chart

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

        for chart in self.query(Chart):
            chart.set_class(chart.plot.is_empty and not chart.has_focus, "-empty")
        results = list(self.query(RESULTS))
        if self.has_class("-machine") or all(each.has_class("-empty") for each in results):
            results[0].remove_class("-empty")
        panels = self.query(".-panel")
        self.set_class(all(each.has_class("-empty") for each in panels), "-no-samples")
        self._share_space()

    def on_resize(self) -> None:
        """Fit the charts of the machine."""
        if self.query(RESULTS):
            self._share_space()

    def _share_space(self) -> None:
        """Give the charts of the machine, and the one above them, equal space, or the least that
        they need: then they scroll."""
        from vld_tui.dashboard.widgets.chart import Chart

        panels = self.query(".-panel").results(Chart)
        shown = [each for each in panels if not each.has_class("-empty")]
        charts = [self.query_one("#first", Chart), *shown]
        layout = self.styles.layout
        is_row = layout is not None and layout.name == "horizontal"
        for chart in self.query(Chart):
            chart.styles.clear_rule("height")
            chart.styles.clear_rule("width")
        if not self.has_class("-machine") or self.has_class("-no-samples"):
            return
        for chart in charts:
            if is_row:
                chart.styles.width = max(FEWEST_CELLS, self.size.width // len(charts))
            else:
                chart.styles.height = max(FEWEST_ROWS, self.size.height // len(charts))

    def _show_waiting(self, watched: Sequence[RunCurves]) -> None:
        """Show what runs without any value are doing, in place of empty charts."""
        from vld_tui.views.run_status import rest_line  # not needed for the first frame

        text = Text(justify="center")
        for each in watched:
            name = f"{plain_text(each.run.label)}: " if len(watched) > 1 else ""
            text.append(f"{name}{activity(each.run) or rest_line(each.run)}\n")
        text.append("The curves begin with the first evaluation.", QUIET_STYLE)
        if not self.query("#waiting"):
            self.mount(Static(id="waiting"), before=0)
        self.query_one("#waiting", Static).update(text)
        self.add_class("-waiting")
