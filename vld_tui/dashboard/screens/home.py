"""The home screen: every run, and the curves of the current or marked ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Horizontal, Vertical
from textual.events import DescendantFocus
from textual.timer import Timer
from textual.widgets import Static

from engine.protocol import MetricKey, UserError, resolve_spec
from vld_tui.dashboard.draw.log import log_tail
from vld_tui.dashboard.feed import Interest, RunCurves, Snapshot
from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.listing import Listing
from vld_tui.dashboard.messages import (
    DiagnoseAsked,
    GroupOpened,
    InterestChanged,
    MarksChanged,
    PageNeeded,
    PreferencesChanged,
    RunChosen,
    RunOpened,
    SnapshotTaken,
    SortAsked,
)
from vld_tui.dashboard.preferences import Preferences
from vld_tui.dashboard.screens.run_keys import RunKeys, forget_question
from vld_tui.dashboard.widgets.curves import CurveCharts
from vld_tui.dashboard.widgets.diagnosing import DiagnosingLine
from vld_tui.dashboard.widgets.dialog import OPENS_DIALOG
from vld_tui.dashboard.widgets.filter_line import FilterInput, FilterLine
from vld_tui.dashboard.widgets.key_bar import KeyBar
from vld_tui.dashboard.widgets.run_table import RunTable
from vld_tui.runs.run import (
    CONFIGURATION,
    DAMAGED,
    GONE,
    MOST_COMPARED,
    GroupRow,
    Run,
    RunRow,
    TableRow,
)
from vld_tui.store.completion import finished_part
from vld_tui.store.errors import QueryError
from vld_tui.store.fields import QUERY_FIELDS, shown_name
from vld_tui.store.labels import names_of
from vld_tui.store.query import EXAMPLE, Query
from vld_tui.store.saved_views import SavedView
from vld_tui.views.status_line import status_text
from vld_tui.words.numbers import plural
from vld_tui.words.palette import ALARM_STYLE, QUIET_STYLE
from vld_tui.words.text import plain_text

if TYPE_CHECKING:  # not needed for the first frame
    from vld_tui.dashboard.actions import Actions
    from vld_tui.dashboard.screens.new_run.asking import Order
    from vld_tui.dashboard.widgets.plane import Plane
    from vld_tui.runs.machine import MachineLoad
    from vld_tui.study.planner import Planner

BESIDE_CELLS: Final = 40
"""Minimum width of the curves next to the list; otherwise they are below it."""
WIDE_CELLS: Final = 120
"""Minimum width of a terminal in which they can be next to each other."""
WIDTH_STEP: Final = 8
MOST_CURVES: Final = 32
"""Maximum number of runs whose curves are drawn together."""
LOG_ROWS: Final = 3
_ON_RUNS: Final = frozenset(
    ("compare", "group", "interrupt", "kill", "log", "note", "queue_again", "rename", "resume",
     "tags", "trash", "use")
)  # fmt: skip
"""Actions that need a run."""
WELCOME: Final = """\
No runs yet. The example shows what this program measures:

   train on                        test on
  ╭───────╮ ╭──────────╮          ╭──────────╮
  │ emoji │ │ line art │  ─────▶  │ clip art │
  ╰───────╯ ╰──────────╯          ╰──────────╯
   ID accuracy: images kept        OOD accuracy: images of a kind
   back from training              that the network has not seen

  enter   run the example
          (a small network, no download, a few minutes on two cores)
  n       configure a run: your images, network and dropout rate
  ?       list all keys
  q       quit; runs continue in the background"""


class HomeScreen(RunKeys):
    """Runs on one side, their curves on the other, the log of the current run below."""

    REST_S: ClassVar[float] = 0.12
    """Time after the last move at which the run under the cursor is drawn: drawing each one that
    the cursor passes would keep a slow line busy."""
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("run-example", "enter", "begin", "run the example", show=True),
        bind("new", "n", "new", "new", show=True),
        bind("clone", "c", "clone", "clone"),
        bind("use", "u", "use", "use"),
        bind("diagnose", "D", "diagnose", "diagnose"),
        bind("filter", "slash,f", "filter", "filter", key_display="/", show=True),
        bind("sort", "o", "sort", "sort"),
        bind("reverse-order", "O", "reverse", "reverse order"),
        bind("compare", "d", "compare", "compare", show=True),
        bind("resume", "r", "resume", "resume", show=True),
        bind("stop", "S", "interrupt", "stop", show=True),
        bind("group", "b", "group", "group", show=True),
        bind("columns", "C", "columns", "columns"),
        bind("views", "V", "views", "saved views"),
        bind("export", "w", "export", "export"),
        bind("kill", "K", "kill", "kill"),
        bind("trash", "ctrl+d", "trash", "trash"),
        bind("undo", "z", "undo", "undo"),
        bind("open-trash", "Z", "app.open_trash", "list trash"),
        bind("log", "L", "log", "log"),
        bind("tags", "t", "tags", "tags"),
        bind("note", "e", "note", "note"),
        bind("rename", "f2", "rename", "rename"),
        bind("curves", "1", "plane(False)", "curves"),
        bind("hardware", "H", "hardware", "hardware"),
        bind("plane", "2", "plane(True)", "plane", show=True),
        bind("colour-by", "P", "colour_plane", "colours"),
        bind("plotted-measure", "m", "measure_plane", "measure"),
        bind("queue", "3", "app.open_queue", "queue", show=True),
        bind("studies", "4", "app.open_studies", "studies", show=True),
        bind("queue-again", "Q", "queue_again", "queue run"),
        bind("clear", "escape", "clear", "clear"),
    ]

    def __init__(
        self,
        actions: Actions,
        planner: Planner,
        *,
        home: str,
        clock: Callable[[], float],
        preferences: Preferences,
        is_empty: bool = False,
    ) -> None:
        super().__init__(actions)
        self._begins_empty = is_empty
        self._planner = planner
        self._home, self._clock = home, clock
        self._listing, self._columns = Listing.liked(preferences), preferences.columns
        self._filters = preferences.filters
        self._interest = self._listing.interest(Interest())
        self._plane: Plane | None = None
        self._snapshot = Snapshot()
        self._load: MachineLoad | None = None
        self._rows_of_trashed: dict[str, int] = {}
        self._drawn: tuple[RunCurves, ...] | None = None
        self._arranged_for: object = None
        self._waiting: Timer | None = None
        self._list_cells = 0
        self._placed: tuple[TableRow, ...] | None = None
        self._has_wrong_filter = False

    def compose(self) -> ComposeResult:
        """Lay out the status line, the table, three charts and the log."""
        yield Static(id="status")
        yield Static(id="query")
        yield FilterLine(self._actions.complete_filter, EXAMPLE)
        table = RunTable(id="table", clock=self._clock)
        with Horizontal(id="body"):
            with Vertical(id="runs"):
                yield table
                with Container(id="welcome") as welcome:
                    yield Static(WELCOME, markup=False)
            with Vertical(id="charts") as charts:
                yield CurveCharts()
        table.display = charts.display = not self._begins_empty  # from the first frame on
        welcome.display = self._begins_empty
        yield Static(id="log")
        yield DiagnosingLine()
        yield KeyBar()

    def on_mount(self) -> None:
        """Focus the table and show the saved listing."""
        table = self.query_one(RunTable)
        table.set_columns(self._columns)
        self._show_order()
        self.query_one(FilterLine).set_kept(self._filters)
        if self._begins_empty:
            self._show_status()
            self._show_query()
        else:
            table.focus()
        self.post_message(InterestChanged(self._interest))

    @property
    def run(self) -> Run | None:
        """Return the run under the cursor; None for a group."""
        row = self.query_one(RunTable).current
        return row.run if isinstance(row, RunRow) else None

    @property
    def interest(self) -> Interest:
        """Return what the list shows."""
        return self._interest

    def show_load(self, load: MachineLoad) -> None:
        """Show the machine's load."""
        self._load = load
        self._show_status()

    def on_snapshot_taken(self, message: SnapshotTaken) -> None:
        """Show a snapshot of the history."""
        snapshot = message.snapshot
        if _page_of(snapshot.interest) != _page_of(self._interest):  # from before it changed
            return
        self._snapshot = snapshot
        table = self.query_one(RunTable)
        self._show_page(snapshot)
        is_empty = snapshot.count == 0
        self._show_parts(is_empty=is_empty)
        if is_empty and self.focused is table:  # its keys would hide those of the empty list
            self.set_focus(None)
        elif not is_empty and self.focused is None:
            table.focus()
        self._arrange()
        self._show_curves(snapshot.watched)
        self._show_plane(table.current)
        self._show_status()
        self._show_query()
        self._show_matches()
        self.show_keys()

    def _show_parts(self, *, is_empty: bool) -> None:
        """Show the runs and their curves, or what to do without any."""
        welcome, was_welcomed = self.query_one("#welcome"), self.query_one("#welcome").display
        welcome.display = is_empty and self._listing.is_whole
        if welcome.display != was_welcomed:  # other actions are offered
            self.refresh_bindings()
        self.query_one(RunTable).display = not is_empty
        self.query_one("#charts").display = not is_empty

    def _show_page(self, snapshot: Snapshot) -> None:
        """Show the rows; the cursor moves to its run once, if the user has not moved it since."""
        offset, cursor = snapshot.offset, None
        if snapshot.rows is not self._placed and snapshot.interest.near == self._interest.near:
            cursor = snapshot.cursor
        self._placed = snapshot.rows
        if offset is None:
            offset = snapshot.interest.offset
        elif self._interest.offset == snapshot.interest.offset:
            self._look(replace(self._interest, offset=offset))
        self.query_one(RunTable).set_page(
            snapshot.count, offset, snapshot.rows, snapshot.agreed, cursor=cursor
        )

    def on_resize(self) -> None:
        """Put the curves next to the list or below it."""
        self._arrange()

    def on_columns_laid_out(self) -> None:
        """Name the order and the common values that no column shows."""
        self._show_query()

    def on_page_needed(self, message: PageNeeded) -> None:
        """Request other rows."""
        self._look(replace(self._interest, offset=message.offset, limit=message.limit))

    def on_row_highlighted(self) -> None:
        """Draw the run under the cursor once the cursor rests, or the first one immediately."""
        self._stop_waiting()
        if self._interest.watched:
            self._waiting = self.set_timer(self.REST_S, self._follow_cursor)
        else:
            self._follow_cursor()

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.stop()
            self._waiting = None

    def _follow_cursor(self) -> None:
        """Draw the run's curves, unless marked runs are drawn, and its point in the plane."""
        self._stop_waiting()
        table = self.query_one(RunTable)
        self._show_plane(table.current)
        self.show_keys()
        if not self.query_one(FilterLine).is_open:
            near = table.near if table.current is not None else ()
            self._look(replace(self._interest, near=near))
        if not table.marked:
            self._watch(table.current)

    def on_run_chosen(self, message: RunChosen) -> None:
        """Move the cursor to a run chosen in the plane, and draw its trail."""
        self._stop_waiting()
        self.query_one(RunTable).action_go_to(message.run_id)
        chosen = message.run_id
        self._look(replace(self._interest, watched=(chosen,), sought=chosen))

    def on_group_opened(self, message: GroupOpened) -> None:
        """List the runs of a group; escape returns."""
        self._list(self._listing.inside(message.row))

    def on_sort_asked(self, message: SortAsked) -> None:
        """Sort by a field, or reverse its order."""
        self._list(self._listing.by(message.field))

    def on_marks_changed(self, message: MarksChanged) -> None:
        """Draw the curves of the marked runs together."""
        self._stop_waiting()
        self._look(replace(self._interest, marked=message.run_ids))
        if message.run_ids:
            self._look(replace(self._interest, watched=message.run_ids[:MOST_COMPARED]))
        else:
            self._watch(self.query_one(RunTable).current)

    def action_plane(self, is_wanted: bool) -> None:
        """Show the ID–OOD plane of the matching runs, or the curves."""
        if self._plane is None:
            from vld_tui.dashboard.widgets.plane import Plane  # not needed for the first frame

            self._plane = Plane(id="plane")
            self.query_one("#charts").mount(self._plane)
            self._show_plane(self.query_one(RunTable).current)
            self._show_trail(self._drawn or ())
        self.set_class(is_wanted, "-plane")
        if self._plane.has_focus and not is_wanted:
            self.query_one(RunTable).focus()
        self._look(replace(self._interest, plane=is_wanted))

    def action_colour_plane(self) -> None:
        """Colour the points of the plane by another field."""
        if self._plane is not None:
            self._plane.action_colour()

    def action_measure_plane(self) -> None:
        """Show the next measure in the plane."""
        if self._plane is not None:
            self._plane.action_measure()

    def action_new(self) -> None:
        """Configure a new run from the defaults."""
        self._configure(None)

    def action_clone(self) -> None:
        """Configure a new run from the one under the cursor."""
        if self.run:
            self.clone(self.run)
        else:
            self._configure(None)

    def clone(self, run: Run) -> None:
        """Configure a new run from another one."""
        if run.combination is not None:
            self.notify("A combined run cannot be cloned; combine runs with vld combine.")
            return
        if not run.has_spec:
            self.notify("The run is damaged: its settings cannot be read.", severity="warning")
            return
        self._configure(run)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer the example only if there are no runs, and actions on runs only if there are."""
        if action == "begin":
            return bool(self.query_one("#welcome").display)
        if action in ("colour_plane", "measure_plane"):
            return self.has_class("-plane")
        if action in _ON_RUNS and self.query_one("#welcome").display:
            return False
        return super().check_action(action, parameters)

    def action_begin(self) -> None:
        """Start a run with the defaults, which needs no download and no images."""
        self._do(partial(self._actions.start, resolve_spec({})))

    def action_export(self) -> None:
        """Ask where to export the matching runs, or the screen."""
        from vld_tui.dashboard.widgets.ask import ask_export

        def export(path: str) -> None:
            self._do(partial(self._actions.export, self._interest.query, path))

        question = "Export the matching runs (.csv, .json) or the screen (.svg) to:"
        ask_export(self.app, question, export, example="runs.csv")

    def action_filter(self) -> None:
        """Type a filter."""
        self.query_one("#query").display = False
        self.query_one(FilterLine).open(self._listing.filter)

    def on_filter_line_typed(self, message: FilterLine.Typed) -> None:
        """List what matches so far; an invalid filter changes nothing."""
        finished = finished_part(message.text)
        if finished != message.text and not _is_valid(finished):
            finished = self._listing.filter  # such as after "or"
        self._filter_by(finished)

    def on_filter_line_kept(self, message: FilterLine.Kept) -> None:
        """Return to the list, unless the filter is invalid."""
        line = self.query_one(FilterLine)
        if self._filter_by(message.text):
            line.close()
            self._end_filter()
            self.post_message(PreferencesChanged(filters=line.kept))

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """Draw the run under the cursor before its curves are used, and keep the filter when the
        user clicks elsewhere."""
        if self._waiting is not None:
            self._follow_cursor()
        line = self.query_one(FilterLine)
        if line.is_open and not isinstance(event.widget, FilterInput):
            line.submit()

    def on_filter_line_restored(self, message: FilterLine.Restored) -> None:
        """Return to the list as it was."""
        self._filter_by(message.text)
        self._end_filter()

    def _filter_by(self, text: str) -> bool:
        """Filter the list; return whether the filter is valid."""
        listing = replace(self._listing, filter=text)
        try:
            interest = listing.interest(self._interest)
        except QueryError as error:
            self._has_wrong_filter = True
            self.query_one(FilterLine).remark(str(error), is_wrong=True)
            return False
        self._listing, self._has_wrong_filter = listing, False
        self._look(interest)
        self._show_matches()
        return True

    def _end_filter(self) -> None:
        self.query_one("#query").display = True
        self._show_query()
        self.query_one(RunTable).focus()

    def _show_matches(self) -> None:
        """Show below the filter how many runs match."""
        snapshot, line = self._snapshot, self.query_one(FilterLine)
        if not line.is_open or self._has_wrong_filter:
            return
        if _page_of(snapshot.interest) != _page_of(self._interest):
            return
        if snapshot.runs or not snapshot.unmatched:
            total = max(snapshot.total, snapshot.runs)
            line.remark(f"{snapshot.runs:,} of {plural(total, 'run')}")
        else:
            line.remark(snapshot.unmatched, is_wrong=True)

    def action_sort(self) -> None:
        """Sort by the next field."""
        self._list(self._listing.in_next_order())

    def action_reverse(self) -> None:
        """Reverse the order."""
        self._list(self._listing.turned_round())

    def action_group(self) -> None:
        """Ask how to group runs."""
        from vld_tui.dashboard.screens.pick import Pick, PickOption

        choices = [
            PickOption(CONFIGURATION, ("all but seed", "mean and spread of each configuration")),
            PickOption("", ("none", "no grouping")),
            *(
                PickOption(name, (shown_name(name), f"same {shown_name(name)}"))
                for name in QUERY_FIELDS
            ),
        ]
        pick = Pick("Group runs by:", choices, current=self._listing.group or CONFIGURATION)
        self.app.push_screen(pick, self._set_group)

    def action_columns(self) -> None:
        """Ask for the columns of the table."""
        from vld_tui.dashboard.screens.pick import ChooseColumns

        def answered(columns: tuple[str, ...] | None) -> None:
            if columns is not None:
                self._columns = columns
                self.query_one(RunTable).set_columns(columns)
                self._arrange()
                self._show_query()
                self.post_message(PreferencesChanged(columns=columns))

        self.app.push_screen(ChooseColumns(self._columns), answered)

    @work(thread=True, exclusive=True, group=OPENS_DIALOG)
    def action_views(self) -> None:
        """Offer the saved views."""
        views: dict[str, SavedView] = {}
        try:
            views = self._actions.views()
        except UserError as error:
            self.app.call_from_thread(self.notify, str(error), severity="error", markup=False)
        self.app.call_from_thread(self._offer_views, views)

    def _offer_views(self, views: dict[str, SavedView]) -> None:
        """Ask for a view to show, to delete, or a name for the present one."""
        from vld_tui.dashboard.screens.pick import Pick, PickOption
        from vld_tui.dashboard.widgets.ask import AskLine

        def save(name: str | None) -> None:
            if name:
                present = SavedView(
                    filter=self._listing.filter,
                    columns=self._columns,
                    sort=self._listing.sort,
                    group=self._listing.group,
                )
                self._do(partial(self._actions.save_view, name, present))

        def answered(name: str | None) -> None:
            if name:
                self._show_view(views[name])
            elif name is not None:
                self.app.push_screen(AskLine("Save this view as:"), save)

        choices = [
            *(PickOption(name, (name, _view_text(view))) for name, view in views.items()),
            PickOption("", ("save…", "save this filter, columns, order and grouping")),
        ]
        if not self.is_current:  # the user left
            return
        pick = Pick(
            "Saved views",
            choices,
            current="",
            drop=lambda name: self._do(partial(self._actions.delete_view, name)),
        )
        self.app.push_screen(pick, answered)

    def _show_view(self, view: SavedView) -> None:
        """List what a saved view does, unless it is no longer valid."""
        listing = replace(
            self._listing, filter=view.filter, sort=view.sort, group=view.group, within=None
        )
        self._list(listing)
        if self._listing == listing:
            self._columns = view.columns
            self.query_one(RunTable).set_columns(view.columns)
            self.post_message(PreferencesChanged(columns=view.columns))

    def action_clear(self) -> None:
        """Remove the marks, then leave the group, then clear the filter."""
        table = self.query_one(RunTable)
        if table.marked:
            table.clear_marks()
        elif self._listing.within is not None:
            self._list(replace(self._listing, within=None))
        else:
            self._list(replace(self._listing, filter=""))
        table.focus()

    def action_log(self) -> None:
        """Open the log of the run under the cursor."""
        if run := self.run_for_keys():
            self.app.post_message(RunOpened(run.run_id, "log"))

    def action_compare(self) -> None:
        """Compare the marked runs side by side."""
        if len(self.query_one(RunTable).marked) < 2:
            self.notify("Mark at least two runs with space to compare them.", severity="warning")
        else:
            from vld_tui.dashboard.screens.compare import CompareScreen

            places = dict(self.query_one(RunTable).places)
            self.app.push_screen(CompareScreen(self._snapshot.watched, places))

    def action_trash(self) -> None:
        """Move the marked runs, or the one under the cursor, to the trash."""
        table = self.query_one(RunTable)
        run = None if table.marked else self.run_for_keys()
        is_gone = run is not None and run.status == GONE
        chosen = table.marked or ((run.run_id,) if run else ())

        def move() -> None:
            self._rows_of_trashed |= dict.fromkeys(chosen, table.cursor)
            table.clear_marks()
            self._do(lambda: self._actions.trash(chosen))

        if len(chosen) > 1 or is_gone:
            from vld_tui.dashboard.widgets.ask import confirm

            question = f"Move {len(chosen):,} marked runs to the trash?"
            confirm(self.app, question if run is None else forget_question(run), move)
        elif chosen:
            move()

    def action_undo(self) -> None:
        """Undo the last change, and move the cursor to runs that are restored."""
        self._do(self._undo)

    def _undo(self) -> str:
        undone = self._actions.undo()
        if undone.run_ids and undone.run_ids[0] in self._rows_of_trashed:
            row = self._rows_of_trashed.pop(undone.run_ids[0])
            if self.is_attached:  # else the user left a study's list
                self.app.call_from_thread(self.query_one(RunTable).seek, undone.run_ids, row)
        return undone.said

    def action_tags(self) -> None:
        """Ask for the tags of the marked runs, or of the run under the cursor."""
        if marked := self.query_one(RunTable).marked:
            count = plural(len(marked), "marked run")
            self.ask_tags(f"Tags to add to {count} (-tag removes):", marked, ())
        else:
            super().action_tags()

    def action_diagnose(self) -> None:
        """Ask which diagnostics of the marked runs, or of the one under the cursor, to compute."""
        if marked := self.query_one(RunTable).marked:
            self.post_message(DiagnoseAsked(marked, plural(len(marked), "marked run")))
        else:
            super().action_diagnose()

    def run_for_keys(self) -> Run | None:
        """Return the run under the cursor; notify the user if it is a group."""
        if isinstance(self.query_one(RunTable).current, GroupRow):
            self.notify("This is a group of runs: enter lists them, space marks them.")
        return self.run

    def _configure(self, like: Run | None) -> None:
        from vld_tui.dashboard.screens.new_run.screen import NewRun

        def answered(order: Order | None) -> None:
            if order is not None:
                begin = self._actions.queue if order.is_queued else self._actions.start
                names = None if order.name is None else names_of(order.specs, order.name)
                self._do(partial(begin, *order.specs, names=names, tags=order.tags))

        self.app.push_screen(NewRun(like, self._planner), answered)

    def _set_group(self, name: str | None) -> None:
        if name is not None:
            self._list(replace(self._listing, group=name or None, within=None))

    def _list(self, listing: Listing) -> None:
        """Change the filter, order or grouping, if valid."""
        try:
            interest = listing.interest(self._interest)
        except QueryError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        before, self._listing = self._listing, listing
        if (listing.sort, listing.group) != (before.sort, before.group):
            self.post_message(PreferencesChanged(sort=listing.sort, group=listing.group))
        self._look(interest)
        self._show_order()
        self._show_query()

    def _show_order(self) -> None:
        field, is_descending = self._listing.order
        self.query_one(RunTable).set_order(field, is_descending=is_descending)

    def action_hardware(self) -> None:
        """Show what the drawn runs used of their machine, or their results again."""
        self.query_one(CurveCharts).action_hardware()

    def _watch(self, row: TableRow | None) -> None:
        self._look(replace(self._interest, watched=row.run_ids[:MOST_CURVES] if row else ()))

    def _look(self, interest: Interest) -> None:
        """Post what is of interest now, if that changed."""
        if interest != self._interest:
            self._interest = interest
            self.post_message(InterestChanged(interest))

    def _show_curves(self, watched: tuple[RunCurves, ...]) -> None:
        if watched == self._drawn:
            return
        self._drawn = watched
        self.query_one(CurveCharts).show(
            watched,
            over_seeds=self._interest.grouping is not None,
            places=self.query_one(RunTable).places,
        )
        self._show_trail(watched)
        self._show_log(watched[0] if len(watched) == 1 else None)

    def _show_log(self, watched: RunCurves | None) -> None:
        """Show why a run failed in full, or else the end of its log."""
        lines, reason = Text(), watched.run.error.strip() if watched and watched.run.error else ""
        if watched is not None and reason:
            ways = {DAMAGED: "", GONE: "ctrl+d forgets the run"}
            lines.append(f"{watched.run.status}  ", ALARM_STYLE)
            lines.append(ways.get(watched.run.status, "r resumes"), QUIET_STYLE)
            lines.append(f"  {plain_text(reason.splitlines()[0])}", ALARM_STYLE)
        elif watched is not None:
            tail = log_tail(watched.reported, watched.log, LOG_ROWS)
            lines.append("\n".join(plain_text(line) for line in tail), QUIET_STYLE)
            lines.no_wrap, lines.overflow = True, "ellipsis"
        log = self.query_one("#log", Static)
        if log.content != lines:
            log.update(lines)
        log.set_class(not lines, "-empty").set_class(bool(reason), "-reason")

    def _show_plane(self, row: TableRow | None) -> None:
        if self._plane is not None:
            current = row.run_ids[0] if row else None
            self._plane.set_points(
                self._snapshot.points,
                current,
                self._snapshot.without_ood,
                total=self._snapshot.points_total,
                are_groups=self._interest.grouping is not None,
                is_loading=not self._snapshot.interest.plane,
            )

    def _show_trail(self, watched: tuple[RunCurves, ...]) -> None:
        """Draw the path of the chosen run in the plane."""
        if (plane := self._plane) is None:
            return
        for each in watched:
            curves = each.curves
            id_key, ood_key = MetricKey.id(each.run.arm), MetricKey.ood(each.run.arm)
            if each.run.run_id == plane.plot.current and {id_key, ood_key} <= curves.keys():
                plane.set_trail((curves[id_key][1], curves[ood_key][1]))

    def _show_status(self) -> None:
        snapshot = self._snapshot
        text = status_text(
            snapshot.total,
            snapshot.live,
            self._load,
            home=self._home,
            problem=snapshot.problem,
            is_read_only=snapshot.is_read_only,
        )
        self._put("#status", text)

    def _arrange(self) -> None:
        """Put the curves next to the list if every column fits there, or below it.

        Decided for a terminal width and a choice of columns: runs that come and go only widen the
        list.
        """
        table = self.query_one(RunTable)
        if self._snapshot.count == 0:
            return
        room = self.size.width - BESIDE_CELLS
        whole = table.whole_cells
        decided_for = (self.size.width, self._columns, self._listing.group)
        if self._arranged_for != decided_for:
            self._arranged_for = decided_for
            self.set_class(whole > room or self.size.width < WIDE_CELLS, "-stacked")
            self._list_cells = 0
        cells = min(room, -(-whole // WIDTH_STEP) * WIDTH_STEP)
        self._list_cells = max(self._list_cells, cells, self.size.width * 3 // 5)
        is_stacked = self.has_class("-stacked")
        self.query_one("#runs").styles.width = "100%" if is_stacked else self._list_cells

    def _show_query(self) -> None:
        table, snapshot = self.query_one(RunTable), self._snapshot
        count = snapshot.count
        parts = self._listing.parts(
            rows=count,
            runs=snapshot.runs,
            total=snapshot.total,
            marked=len(table.marked),
            hidden=snapshot.hidden,
            common=table.folded if count else (),
            shows_order=count == 0 or table.shows_order,
            are_all_finished=all(map(_is_finished, snapshot.rows)),
        )
        is_unmatched = not self._listing.is_whole and count == 0
        line = Text(f" {plain_text(' · '.join(parts))}", QUIET_STYLE, no_wrap=not is_unmatched)
        if is_unmatched:
            line.append("   no matching runs; esc clears the filter", ALARM_STYLE)
            line.append(f"   {plain_text(self._snapshot.unmatched)}", QUIET_STYLE)
        self.query_one("#query").set_class(is_unmatched, "-wraps")
        self._put("#query", line, layout=is_unmatched)

    def _put(self, place: str, text: Text, *, layout: bool = False) -> None:
        """Update text in a widget, of fixed size without ``layout``."""
        static = self.query_one(place, Static)
        if static.content != text:
            static.update(text, layout=layout)


def _view_text(view: SavedView) -> str:
    parts = [view.filter or "all runs", f"sorted by {view.sort}"]
    parts += [f"grouped by {shown_name(view.group)}"] if view.group else []
    return " · ".join([*parts, *([f"{len(view.columns)} columns"] if view.columns else [])])


def _is_finished(row: TableRow) -> bool:
    return not isinstance(row, GroupRow) or row.summary.statuses.keys() <= {"finished"}


def _is_valid(text: str) -> bool:
    try:
        Query.parse(text)
    except QueryError:
        return False
    return True


def _page_of(interest: Interest) -> tuple[object, ...]:
    return interest.query, interest.grouping, interest.sort
