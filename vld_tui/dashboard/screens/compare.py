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
from vld_tui.dashboard.messages import MistakesAsked, SnapshotTaken
from vld_tui.dashboard.widgets.compare_table import CompareTable
from vld_tui.dashboard.widgets.curves import CurveCharts
from vld_tui.dashboard.widgets.key_bar import KeyBar
from vld_tui.study.results.groups import RunGroup, group_by_seed
from vld_tui.views.compare import compare
from vld_tui.words.numbers import plural
from vld_tui.words.palette import QUIET_STYLE, Look, series_look


class CompareScreen(Guarded, Screen[None]):
    """Runs in columns, grouped by configuration over seeds."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "escape,d", "app.pop_screen", "back", key_display="esc", show=True),
        bind("hardware", "H", "hardware", "hardware"),
        bind("mistakes", "M", "mistakes", "mistakes", show=True),
    ]

    def __init__(self, watched: tuple[RunCurves, ...], places: Mapping[str, int]) -> None:
        super().__init__()
        self._watched, self._places = watched, places

    def compose(self) -> ComposeResult:
        """Lay out the table above the curves."""
        yield Static(id="status")
        yield CompareTable(id="table")
        yield Static(id="note")
        yield CurveCharts()
        yield KeyBar()

    def on_mount(self) -> None:
        """Show the known runs."""
        self.query_one(CurveCharts).show(self._watched, over_seeds=True, places=self._places)
        self.query_one(CompareTable).focus()
        self._show_table()

    def action_hardware(self) -> None:
        """Show what the runs used of their machine, or their results again."""
        self.query_one(CurveCharts).action_hardware()

    def action_mistakes(self) -> None:
        """Compare the mistakes of two runs image by image."""
        run_ids = [each.run.run_id for each in self._watched]
        if len(run_ids) == 2:
            self.post_message(MistakesAsked(*run_ids))
        else:
            self.notify("Mark exactly two runs to compare their mistakes.", severity="warning")

    def on_snapshot_taken(self, message: SnapshotTaken) -> None:
        """Show the present state of the runs."""
        watched = message.snapshot.watched
        if [*map(id, watched)] != [*map(id, self._watched)]:
            self._watched = watched
            self.query_one(CurveCharts).show(watched, over_seeds=True, places=self._places)
            self._show_table()

    def _show_table(self) -> None:
        groups = group_by_seed(each.run for each in self._watched)
        table = compare(groups)
        looks = [self._look_of(group) for group in groups]
        marked = tuple(
            f"{look.mark} {name}" for look, name in zip(looks, table.headings, strict=True)
        )
        self.query_one(CompareTable).show(
            table._replace(headings=marked), [look.colour for look in looks]
        )
        note = self.query_one("#note", Static)
        note.update(Text(f" {table.note}", QUIET_STYLE, no_wrap=True, overflow="ellipsis"))
        note.display = bool(table.note)
        runs, configurations = len(self._watched), plural(len(groups), "configuration")
        title = f" compare  {plural(runs, 'run')}, {configurations}"
        if (marked_count := len(self._places)) > runs:
            title += f"  (the first {runs:,} of {marked_count:,} marked runs)"
        self.query_one("#status", Static).update(Text(title, "bold", no_wrap=True))

    def _look_of(self, group: RunGroup) -> Look:
        """Return the appearance of a group's curve."""
        places = (self._places[run.run_id] for run in group.runs if run.run_id in self._places)
        return series_look(min(places, default=0))
