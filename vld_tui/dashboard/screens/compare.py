"""Marked runs side by side: differences, results and curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widgets import Static

from vld_tui.dashboard.feed import RunCurves
from vld_tui.dashboard.guard import Guarded
from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.messages import SnapshotTaken
from vld_tui.dashboard.widgets.curves import CurveCharts
from vld_tui.dashboard.widgets.key_bar import KeyBar
from vld_tui.dashboard.widgets.text import ScrolledText
from vld_tui.study.results.groups import group_by_seed
from vld_tui.views.compare import compare_lines
from vld_tui.words.numbers import plural


class CompareScreen(Guarded, Screen[None]):
    """Runs in columns, grouped by configuration over seeds."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "escape,d", "app.pop_screen", "back", key_display="esc", show=True),
    ]

    def __init__(self, watched: tuple[RunCurves, ...], places: Mapping[str, int]) -> None:
        super().__init__()
        self._watched, self._places = watched, places

    def compose(self) -> ComposeResult:
        """Lay out the table above the curves."""
        yield Static(id="status")
        yield ScrolledText(id="table")
        yield CurveCharts()
        yield KeyBar()

    def on_mount(self) -> None:
        """Show the known runs."""
        self.query_one(CurveCharts).show(self._watched, over_seeds=True, places=self._places)

    def on_snapshot_taken(self, message: SnapshotTaken) -> None:
        """Show the present state of the runs."""
        watched = message.snapshot.watched
        if [*map(id, watched)] != [*map(id, self._watched)]:
            self._watched = watched
            self.query_one(CurveCharts).show(watched, over_seeds=True, places=self._places)
            self._show_table()

    def on_resize(self) -> None:
        """Fit the table."""
        self.call_after_refresh(self._show_table)

    def _show_table(self) -> None:
        groups = group_by_seed(each.run for each in self._watched)
        table = self.query_one(ScrolledText)
        table.show(Text("\n".join(compare_lines(groups, cells=table.text_cells)), no_wrap=True))
        runs, configurations = len(self._watched), plural(len(groups), "configuration")
        title = f" compare  {plural(runs, 'run')}, {configurations}"
        self.query_one("#status", Static).update(Text(title, "bold", no_wrap=True))
