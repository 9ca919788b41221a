"""The ID–OOD plane of the matching runs, or of a study."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType

from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.messages import RunChosen, RunOpened
from vld_tui.dashboard.widgets.text import Drawing
from vld_tui.runs.run import RunPoint
from vld_tui.views.legend import Line
from vld_tui.views.plane import COLOURINGS, NO_GROUPS, NO_RUNS, Colouring, PlanePlot, Trail


class Plane(Drawing, can_focus=True):
    """A point for each run; arrow keys and clicks choose one."""

    DEFAULT_CSS = "Plane { height: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("lower-id", "left,h", "neighbour(False, -1)", "lower ID"),
        bind("higher-id", "right,l", "neighbour(False, 1)", "higher ID"),
        bind("lower-ood", "down,j", "neighbour(True, -1)", "lower OOD"),
        bind("higher-ood", "up,k", "neighbour(True, 1)", "higher OOD"),
        bind("colour-by", "P", "colour", "colours", show=True),
        bind("plotted-measure", "m", "measure", "measure"),
        bind("open", "enter", "open", "open", show=True),
    ]

    def __init__(
        self,
        *,
        colourings: Sequence[Colouring] = COLOURINGS,
        nothing: str = NO_RUNS,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self._nothing = nothing
        self._colourings = tuple(colourings)
        self._plot = PlanePlot(colouring=self._colourings[0], nothing=nothing)
        self._measure: str | None = None
        self._is_loading = True

    @property
    def plot(self) -> PlanePlot:
        """Return what is shown."""
        return self._plot.by_measure(self._measure)

    def set_points(
        self,
        points: Sequence[RunPoint],
        current: str | None,
        without_ood: int = 0,
        *,
        total: int = 0,
        are_groups: bool = False,
        is_loading: bool = False,
    ) -> None:
        """Show these points; ``current`` is the run under the cursor, ``without_ood`` counts the
        runs without a point, ``total`` those with one. ``are_groups``: the points are means of
        groups. ``is_loading``: they are not all known yet."""
        if is_loading != self._is_loading:
            self._is_loading = is_loading
            self.redraw()
        trail = self._plot.trail if current == self._plot.current else None
        plot = replace(self._plot, points=tuple(points), current=current, trail=trail)
        what = "first groups" if are_groups else "newest runs"
        plot = replace(plot, nothing=NO_GROUPS if are_groups else self._nothing)
        self._show(replace(plot, without_ood=without_ood, total=total, what=what))

    def set_trail(self, trail: Trail | None) -> None:
        """Show the path of the current run."""
        self._show(replace(self._plot, trail=trail))

    def action_neighbour(self, by_ood: bool, step: int) -> None:
        """Choose the nearest point in a direction."""
        cells, rows = self.size
        self._choose(self.plot.neighbour(by_ood=by_ood, step=step, cells=cells, rows=rows))

    def action_colour(self) -> None:
        """Colour by the next field."""
        following = self._colourings.index(self._plot.colouring) + 1
        colouring = self._colourings[following % len(self._colourings)]
        self._show(replace(self._plot, colouring=colouring))

    def action_measure(self) -> None:
        """Switch the axes to the next recorded measure, or to accuracy."""
        names = [None, *PlanePlot.measures_of(self._plot.points)]
        if len(names) == 1:
            self.notify("These runs have no other recorded measures.")
        at = names.index(self._measure) if self._measure in names else 0
        self._measure = names[(at + 1) % len(names)]
        self.redraw()

    def action_open(self) -> None:
        """Open the chosen run."""
        if any(point.run_id == self._plot.current for point in self._plot.points):
            self.post_message(RunOpened(self._plot.current or ""))

    def on_click(self, event: events.Click) -> None:
        """Choose the point nearest to the mouse."""
        self._choose(self.plot.nearest(event.x, event.y, self.size.width, self.size.height))

    def lines(self, cells: int, rows: int) -> Iterable[Line]:
        """Return the plane at a size."""
        if self._is_loading and not self._plot.points:
            return [[Segment("ID–OOD plane: loading…", Style(dim=True))]]
        return self.plot.lines(cells, rows)

    def _choose(self, point: RunPoint | None) -> None:
        if point is not None:
            self._show(replace(self._plot, current=point.run_id, trail=None))
            self.post_message(RunChosen(point.run_id))

    def _show(self, plot: PlanePlot) -> None:
        if plot.trail is self._plot.trail and plot == replace(self._plot, trail=plot.trail):
            return
        self._plot = plot
        self.redraw()


class StudyPlane(Plane):
    """A point for each setting and target, or for its mean over targets."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("means-targets", "v", "screen.means", "means/targets", show=True),
    ]

    def __init__(self, **settings: Any) -> None:
        super().__init__(
            colourings=("setting", "target"),
            nothing="no setting has finished all its runs on a target yet",
            **settings,
        )
