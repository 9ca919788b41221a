"""One study: a heat map of its grid, its ID–OOD plane and its table of results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Static
from textual.worker import get_current_worker

from engine.protocol import UserError
from vld_tui.dashboard.draw.heat_map import HeatMap
from vld_tui.dashboard.draw.study import progress_line, runs_without_ood, study_table
from vld_tui.dashboard.draw.study_map import LaidOut, StudyLook, cell_text
from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.messages import ActionAsked, RunChosen, RunOpened, RunsChosen, SnapshotTaken
from vld_tui.dashboard.outside import EditorError, edit, open_page
from vld_tui.dashboard.screens.launching import LaunchKeys
from vld_tui.dashboard.screens.pick import Pick, PickOption
from vld_tui.dashboard.screens.use.text import ResultScreen
from vld_tui.dashboard.widgets.ask import Alert, ask_export, confirm
from vld_tui.dashboard.widgets.heat_map import HeatMapView
from vld_tui.dashboard.widgets.key_bar import KeyBar
from vld_tui.dashboard.widgets.plane import StudyPlane
from vld_tui.dashboard.widgets.text import ScrolledText
from vld_tui.runs.run import Run
from vld_tui.store.fields import shown_name
from vld_tui.study.results.cells import StudyCell
from vld_tui.study.results.state import Counts, StudyState
from vld_tui.study.standing import MOST_UNASKED
from vld_tui.views.study import failure_lines, prediction_words, study_heading
from vld_tui.words.numbers import plural
from vld_tui.words.palette import ALARM_STYLE, HEADING_STYLE, OOD_STYLE, QUIET_STYLE
from vld_tui.words.text import plain_text

if TYPE_CHECKING:
    from vld_tui.dashboard.actions import Actions
    from vld_tui.study.define.files import StudyText
    from vld_tui.study.planner import Planner
    from vld_tui.study.standing import Standing

VIEWS: Final = ("map", "plane", "table")
CELL_ROWS: Final = 3
"""Lines about the current cell."""
MOST_FAILURES: Final = 2
"""Maximum number of failure reasons to show."""
LOADING: Final = "loading…"


class StudyScreen(LaunchKeys):
    """Everything about a study, updated while it runs."""

    AUTO_FOCUS = "#map"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide"), (170, "-both")]  # noqa: RUF012
    DEFAULT_CSS = """
    StudyScreen #progress { height: auto; max-height: 3; }
    StudyScreen #failures { height: auto; padding: 0 1; }
    StudyScreen #cautions { height: auto; max-height: 4; padding: 0 1; }
    StudyScreen #progress, StudyScreen #failures {
        text-wrap: nowrap; text-overflow: ellipsis;
    }
    StudyScreen #views { height: 1fr; padding: 1 1 0 1; }
    StudyScreen #grid, StudyScreen Plane, StudyScreen #results { display: none; width: 1fr; }
    StudyScreen #cell { height: auto; min-height: 3; max-height: 8; }
    StudyScreen.-map #grid, StudyScreen.-plane Plane, StudyScreen.-table #results {
        display: block;
    }
    StudyScreen.-both.-plane #grid, StudyScreen.-both.-map Plane { display: block; }
    StudyScreen.-both Plane { padding-left: 2; }
    StudyScreen.-stacked #views { layout: vertical; }
    StudyScreen.-stacked Plane { padding: 1 0 0 0; }
    StudyScreen Plane:focus { background: $boost; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "escape", "app.close_study", "back", show=True),
        bind("next-view", "tab", "next_view(1)", "next view", show=True),
        bind("previous-view", "shift+tab", "next_view(-1)", "previous view"),
        bind("heat-map", "1", "view('map')", "heat map"),
        bind("plane", "2", "view('plane')", "plane"),
        bind("table", "3", "view('table')", "table"),
        bind("measure", "m", "measure", "measure", show=True),
        bind("columns-by", "x", "axis('across')", "columns by"),
        bind("rows-by", "y", "axis('down')", "rows by"),
        bind("arm", "a", "arm", "prediction", show=True),
        bind("colour-by", "P", "colours", "colours"),
        bind("launch-missing", "r", "launch", "launch", show=True),
        bind("stop", "S", "stop", "stop", show=True),
        bind("list-runs", "A", "list_runs", "all runs", show=True),
        bind("report", "R", "report", "report", show=True),
        bind("edit-study", "E", "edit", "edit", show=True),
        bind("export", "w", "export", "export", show=True),
    ]

    @dataclass
    class StudyLaidOut(Message):
        """The study was laid out for drawing."""

        laid_out: LaidOut

    def __init__(self, actions: Actions, planner: Planner, name: str) -> None:
        super().__init__(actions, planner)
        self._study_name = name
        self._state = StudyState(name)
        self._look: StudyLook | None = None
        self._laid_out: LaidOut | None = None
        self._view = VIEWS[0]
        self._is_reporting = False
        self._work = LOADING
        self._edited: StudyText | None = None

    def compose(self) -> ComposeResult:
        """Lay out the progress above the results."""
        yield Static(id="status")
        yield Static(f" {LOADING}", id="progress")
        yield Static(id="failures")
        yield Static(id="cautions")
        with Horizontal(id="views"):
            with Vertical(id="grid"):
                yield HeatMapView(id="map")
                yield Static(id="cell")
            yield StudyPlane(id="points")
            yield ScrolledText(id="results")
        yield KeyBar()

    def on_mount(self) -> None:
        """Start with the heat map."""
        self.query_one("#failures").display = False
        self.query_one("#cautions").display = False
        self.query_one(HeatMapView).show(HeatMap(LOADING))
        self.query_one("#results", ScrolledText).show(Text(LOADING, QUIET_STYLE))
        self._show_heading()
        self.action_view(self._view)

    def on_snapshot_taken(self, message: SnapshotTaken) -> None:
        """Show the present state of the study."""
        state = message.snapshot.study
        if state is None or state.name != self._study_name or state is self._state:
            return
        self._state = state
        if state.standing is None:
            problem = Text(f" {plain_text(state.problem or '')}", ALARM_STYLE)
            self.query_one("#progress", Static).update(problem)
            return
        self._work = self._work if self._work != LOADING else ""
        self._show_progress(state, state.standing)
        self._lay_out(state, self._look)

    def on_resize(self) -> None:
        """Fit the progress, the table and the map."""
        if self._state.standing is not None:
            self._show_progress(self._state, self._state.standing)
        self.call_after_refresh(self._show_table)
        self._stack_views()

    def show_work(self, text: str) -> None:
        """Show what is being worked on, after the progress; empty: nothing. Work continues after
        the user left."""
        self._work = text
        if self._state.standing is not None and self.is_attached:
            self._show_progress(self._state, self._state.standing)

    def action_view(self, view: str) -> None:
        """Show and focus the heat map, the plane or the table."""
        self._view = view
        for each in VIEWS:
            self.set_class(each == view, f"-{each}")
        part = {"map": "#map", "plane": "#points", "table": "#results"}[view]
        self.set_focus(self.query_one(part))
        self.call_after_refresh(self._show_table)

    def action_next_view(self, step: int) -> None:
        """Cycle through heat map, plane and table."""
        self.action_view(VIEWS[(VIEWS.index(self._view) + step) % len(VIEWS)])

    def action_measure(self) -> None:
        """Show the next measure in the cells."""
        if self._view == "table":
            self.notify("The table always shows the same measures; press 1 for the heat map.")
        elif self._look is not None:
            self._set(self._look.with_next_measure(self._state))

    def action_arm(self) -> None:
        """Show the results of the next prediction."""
        if (look := self._look) is None:
            return
        if len(look.arms) < 2:
            self.notify("The runs of this study have only one prediction, of their own network.")
        self._set(look.with_next_arm())

    def action_colours(self) -> None:
        """Switch between colours that compare all cells, and those of a column."""
        if self._look is not None:
            self._set(self._look.with_other_colours())

    def action_means(self) -> None:
        """Switch the plane between means over targets and each target."""
        if self._look is None or self._laid_out is None:
            return
        other = self._look.with_other_points()
        if any(other.points(self._laid_out.compared)):
            self._set(other)
        else:
            self.notify("No setting has finished its runs on every target yet.")

    def action_axis(self, axis: str) -> None:
        """Ask for the field of the columns or rows."""
        if (look := self._look) is None:
            return
        choices = [PickOption(name, (shown_name(name), told)) for name, told in look.choices()]
        where = "columns" if axis == "across" else "rows"

        def answered(field: str | None) -> None:
            if field is not None and self._look is not None:
                self._set(self._look.with_axis(axis, field))

        current = getattr(look.axes, axis)
        self.app.push_screen(Pick(f"Field for the {where}:", choices, current=current), answered)

    def action_launch(self) -> None:
        """Launch missing runs and resume interrupted ones; confirm a large launch."""
        if (standing := self._state.standing) is None:
            return
        new = len(standing.missing)
        launch = ActionAsked(partial(self._actions.launch_study, self._study_name))
        if new > MOST_UNASKED:
            where = " on slurm, as last time" if self._state.is_on_cluster else ""
            question = f"Launch {plural(new, 'new run')}{where}?"
            confirm(self.app, question, partial(self.post_message, launch))
        else:
            self.post_message(launch)

    def action_stop(self) -> None:
        """Stop the running and queued runs after confirmation."""
        if (standing := self._state.standing) is None:
            return
        live, queued = len(standing.live), len(standing.queued)
        parts = [
            f"{plural(live, 'running run')} will save a checkpoint and stop" if live else "",
            f"{plural(queued, 'queued run')} will leave the queue" if queued else "",
        ]
        if not live and not queued:
            self.notify("This study has no running or queued runs.")
            return
        said = "; ".join(filter(None, parts))
        question = f"Stop {self._study_name}? {said}. Launching the study resumes them."
        stop = ActionAsked(partial(self._actions.stop_study, self._study_name))
        confirm(self.app, question, partial(self.post_message, stop))

    def action_list_runs(self) -> None:
        """List all runs of the study."""
        if (standing := self._state.standing) is not None:
            self._list_runs("all runs", standing.known)

    def action_edit(self) -> None:
        """Edit the study in the user's editor and offer to launch it, or show it."""
        try:
            kept = self._actions.study_text(self._study_name)
        except UserError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        before = self._edited or kept
        try:
            after = edit(self.app, before.text, f"{self._study_name}.toml")
        except EditorError as error:
            self.notify(str(error), markup=False)
            text = Text("\n".join(map(plain_text, kept.text.splitlines())))
            self.app.push_screen(
                ResultScreen(f"{self._study_name}.toml", lambda _: text, kept.where)
            )
            return
        if after == kept.text:
            self._edited = None
            self.notify("The study is unchanged.")
            return
        # Kept until it is launched: after an error, the same key continues editing.
        self._edited = replace(kept, text=after, where=f"{self._study_name}.toml (edited)")
        self.offer_launch(self._edited)

    def launch(self, study: str | StudyText) -> str:
        """Launch the study; what was edited is then in the home."""
        said = super().launch(study)
        if study is self._edited:
            self._edited = None
        return said

    def action_export(self) -> None:
        """Ask where to export the table, or the screen."""

        def export(path: str) -> None:
            action = partial(self._actions.export_study, self._state, path)
            self.post_message(ActionAsked(action))

        question = "Export the table of all arms (.csv) or the screen (.svg) to:"
        ask_export(self.app, question, export, example=f"{self._study_name}.csv")

    def action_report(self) -> None:
        """Write the study's report."""
        if self._state.standing is not None and not self._is_reporting:
            self._is_reporting = True
            self._write_report()

    @work(thread=True)
    def _write_report(self) -> None:
        app = self.app

        def show_step(step: str) -> None:
            app.call_from_thread(self.show_work, f"report: {step}…")

        try:
            made: Path | str = self._actions.report_study(self._study_name, show_step)
        except UserError as error:
            made = str(error)
        app.call_from_thread(self._show_report, app, made)

    def _show_report(self, app: App[Any], made: Path | str) -> None:
        """Copy and show the path of the report's page, or show why there is none."""
        self._is_reporting = False
        self.show_work("")
        if isinstance(made, str):
            app.notify(made, severity="error", markup=False)
            return
        app.copy_to_clipboard(str(made))
        where = ", and the page was opened in the browser" if open_page(app, made) else ""
        said = (
            f"Report of {plain_text(self._study_name)}:\n{plain_text(str(made))}\n\n"
            f"The path was copied to the clipboard (if the terminal supports it){where}."
        )
        if self.is_current:
            app.push_screen(Alert(said))
        else:  # the user left
            app.notify(said, markup=False, timeout=15)

    def on_heat_map_view_cell_moved(self, _message: HeatMapView.CellMoved) -> None:
        """Describe the current cell."""
        self._show_cell()

    def on_heat_map_view_cell_opened(self, message: HeatMapView.CellOpened) -> None:
        """Open the runs of a cell."""
        if (laid_out := self._laid_out) is None:
            return
        place = message.row, message.column
        if (cell := laid_out.grid.at(*place)) is not None:
            self._open(cell, laid_out.look.cell_name(laid_out.grid, *place))

    def on_run_chosen(self, message: RunChosen) -> None:
        """Ignore that a point of the plane was chosen: it is not a run."""
        message.stop()

    def on_run_opened(self, message: RunOpened) -> None:
        """Open the runs of a point of the plane."""
        message.stop()
        for point, cell in self._laid_out.points.items() if self._laid_out else ():
            if point.run_id == message.run_id:
                self._open(cell, point.name)

    def _open(self, cell: StudyCell, name: str) -> None:
        runs = cell.known
        if len(runs) == 1:
            self.app.post_message(RunOpened(runs[0].run_id))
        else:
            self._list_runs(name, runs)

    def _list_runs(self, name: str, runs: Sequence[Run]) -> None:
        """List runs above this screen."""
        if not runs:
            self.notify("No run yet; r launches the missing ones.")
            return
        path = f"studies › {plain_text(self._study_name)} › {name}"
        self.app.post_message(RunsChosen(path, tuple(run.run_id for run in runs)))

    def _set(self, look: StudyLook) -> None:
        """Change the view of the study."""
        if look != self._look:
            self._look = look
            self._lay_out(self._state, look)

    @work(thread=True, exclusive=True, group="layout")
    def _lay_out(self, state: StudyState, look: StudyLook | None) -> None:
        """Lay out a readable study for drawing."""
        worker = get_current_worker()
        if state.standing is None:
            return
        if look is None or look.study is not state.standing.study:
            look = StudyLook.usual(state.standing.study, before=look)
        laid_out = look.lay_out(state)
        if not worker.is_cancelled:
            self.post_message(self.StudyLaidOut(laid_out))

    def on_study_screen_study_laid_out(self, message: StudyLaidOut) -> None:
        """Draw the study."""
        laid_out = self._laid_out = message.laid_out
        self._look = laid_out.look
        heat_map, plane = self.query_one(HeatMapView), self.query_one(StudyPlane)
        heat_map.show(laid_out.heat_map.at(*heat_map.cursor))
        self._stack_views()
        self._show_heading()
        without_ood = runs_without_ood(laid_out.compared)
        plane.set_points(tuple(laid_out.points), plane.plot.current, without_ood)
        cautions = self.query_one("#cautions", Static)
        cautions.display = bool(laid_out.cautions)
        lines = [f"caution: {plain_text(each)}" for each in laid_out.cautions]
        cautions.update(Text("\n".join(lines), ALARM_STYLE))
        self._show_cell()
        self._show_table()

    def _show_progress(self, state: StudyState, standing: Standing) -> None:
        """Show the study's progress and the reasons of failures."""
        self._show_heading()
        work = Text(f" {self._work}  " if self._work else "", OOD_STYLE)
        cells = self.size.width - work.cell_len
        line = work.append_text(progress_line(Counts.of(standing), state.left, cells))
        self.query_one("#progress", Static).update(line)
        reasons = list(failure_lines(standing.failed))
        shown = reasons[:MOST_FAILURES]
        if len(reasons) > len(shown):
            shown[-1] += f"   … and {plural(len(reasons) - len(shown), 'other reason')}"
        text = Text("\n".join(shown), ALARM_STYLE, no_wrap=True, overflow="ellipsis")
        failures = self.query_one("#failures", Static)
        failures.update(text)
        failures.display = bool(shown)

    def _show_heading(self) -> None:
        """Show where the user is, and the prediction that the numbers of all views are of."""
        standing = self._state.standing
        name = self._study_name if standing is None else study_heading(standing.study)
        heading = Text(f" studies › {plain_text(name)}", HEADING_STYLE)
        heading.no_wrap, heading.overflow = True, "ellipsis"
        if self._look is not None and len(self._look.arms) > 1:
            heading.append(f"  prediction: {prediction_words(self._look.arm)}")
        self.query_one("#status", Static).update(heading)

    def _stack_views(self) -> None:
        """Put the plane below the map where the map needs more than half of the width."""
        heat_map, grid = self.query_one(HeatMapView), self.query_one("#grid")
        is_stacked = self.has_class("-both") and heat_map.width_for_all > self.size.width // 2
        self.set_class(is_stacked, "-stacked")
        grid.styles.height = heat_map.height_at_most + CELL_ROWS if is_stacked else None
        grid.styles.max_height = "50%" if is_stacked else None

    def _show_cell(self) -> None:
        """Describe the current cell."""
        if (laid_out := self._laid_out) is None or not laid_out.grid.rows:
            return
        place = self.query_one(HeatMapView).cursor
        cell, name = laid_out.grid.at(*place), laid_out.look.cell_name(laid_out.grid, *place)
        text = Text(f"{name}: no run of this study") if cell is None else cell_text(cell, name)
        self.query_one("#cell", Static).update(text)

    def _show_table(self) -> None:
        if (laid_out := self._laid_out) is None or self._view != "table" or not self.is_attached:
            return
        results, look = self.query_one("#results", ScrolledText), laid_out.look
        table = study_table(laid_out.compared, look.study.compare, look.arm, results.text_cells)
        results.show(table)
