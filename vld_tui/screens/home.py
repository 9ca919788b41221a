"""The home screen: every run, and the curves of those that are looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widgets import Footer, Static

from engine.protocol import RunSpec
from vld_tui.feed import Interest, RunCurves, RunRow, Snapshot
from vld_tui.messages import (
    ActionAsked,
    InterestChanged,
    MarksChanged,
    PageNeeded,
    RunHighlighted,
    SnapshotTaken,
)
from vld_tui.store.query import Query, QueryError
from vld_tui.store.runs import Run
from vld_tui.views.palette import ALARM_STYLE, QUIET_STYLE
from vld_tui.views.status_line import status_text
from vld_tui.views.text import plain_text
from vld_tui.widgets.curves import Curves
from vld_tui.widgets.plane import Plane
from vld_tui.widgets.run_table import RunTable

if TYPE_CHECKING:  # not for the first picture
    from vld_tui.actions import Actions
    from vld_tui.machine import MachineLoad
    from vld_tui.screens.new_run import Order

SORTS: Final = ("-created", "-ood", "-id_accuracy", "name", "status", "dropout", "target")
"""Orders that ``o`` goes through."""
WELCOME: Final = """\
No runs yet.

  n   make one: the embedded emoji styles, a small network, two minutes on two cores
  ?   every key
  q   leave; runs go on
"""


class HomeScreen(Screen[None]):
    """Runs on one side, their curves on the other, the log of one below."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new", "new"),
        Binding("c", "clone", "clone"),
        Binding("f", "filter", "filter"),
        Binding("o", "sort", "sort"),
        Binding("O", "reverse", "reverse", show=False),
        Binding("r", "resume", "resume"),
        Binding("I", "interrupt", "stop"),
        Binding("T,K", "kill", "kill", show=False),
        Binding("ctrl+d", "trash", "trash", show=False),
        Binding("z", "undo", "undo", show=False),
        Binding("t", "tags", "tags", show=False),
        Binding("e", "note", "note", show=False),
        Binding("1", "plane(False)", "curves", show=False),
        Binding("2", "plane(True)", "plane"),
        Binding("3", "app.open_queue", "queue"),
        Binding("d", "compare", "compare", show=False),
        Binding("Q", "queue_again", "wait for a slot", show=False),
        Binding("escape", "clear", "clear", show=False),
    ]

    def __init__(self, actions: Actions, *, home: str, clock: Callable[[], float]) -> None:
        super().__init__()
        self._actions = actions
        self._home, self._clock = home, clock
        self._interest = Interest()
        self._filter, self._sort = "", SORTS[0]
        self._snapshot = Snapshot()
        self._load: MachineLoad | None = None
        self._trashed: tuple[str, ...] = ()
        self._drawn: tuple[RunCurves, ...] | None = None

    def compose(self) -> ComposeResult:
        """Lay out the status line, the table, three charts and the log."""
        yield Static(id="status")
        with Horizontal(id="body"):
            with Vertical(id="runs"):
                yield Static(id="query")
                yield RunTable(id="table", clock=self._clock)
                yield Static(WELCOME, id="welcome", markup=False)
            with Vertical(id="charts"):
                yield Curves()
                yield Plane(id="plane")
        yield Static(id="log")
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Begin with the table."""
        self.query_one(RunTable).focus()

    @property
    def run(self) -> Run | None:
        """Return the run the cursor stands on."""
        row = self.query_one(RunTable).current
        return row.run if row is not None else None

    def show_load(self, load: MachineLoad) -> None:
        """Show how busy the machine is."""
        self._load = load
        self._show_status()

    def on_snapshot_taken(self, message: SnapshotTaken) -> None:
        """Show the state of history."""
        snapshot = message.snapshot
        if snapshot.interest.query != self._interest.query:  # of before the filter changed
            return
        self._snapshot = snapshot
        table = self.query_one(RunTable)
        table.set_page(snapshot.count, snapshot.interest.offset, snapshot.rows)
        is_empty = snapshot.count == 0
        self.query_one("#welcome").display = is_empty and not self._filter
        table.display = not is_empty
        self.query_one("#charts").display = not is_empty
        self._show_curves(snapshot.watched)
        current = self.run.run_id if self.run else None
        self.query_one(Plane).set_points(snapshot.points, current)
        self._show_status()
        self._show_query()

    def on_page_needed(self, message: PageNeeded) -> None:
        """Ask for other rows."""
        self._look(replace(self._interest, offset=message.offset, limit=message.limit))

    def on_run_highlighted(self, message: RunHighlighted) -> None:
        """Draw the run's curves, unless marked ones are drawn, and its place in the plane."""
        run_id = message.row.run.run_id if message.row else None
        self.query_one(Plane).set_points(self._snapshot.points, run_id)
        if not self.query_one(RunTable).marked:
            self._watch(message.row)

    def on_marks_changed(self, message: MarksChanged) -> None:
        """Draw the marked runs over one another."""
        if message.run_ids:
            self._look(replace(self._interest, watched=message.run_ids))
        else:
            self._watch(self.query_one(RunTable).current)

    def action_plane(self, is_wanted: bool) -> None:
        """Show the ID–OOD plane of the runs that match, or the curves."""
        self.set_class(is_wanted, "-plane")
        self._look(replace(self._interest, plane=is_wanted))

    def action_new(self) -> None:
        """Configure a run from the defaults."""
        self._configure(None)

    def action_clone(self) -> None:
        """Configure a run from the one under the cursor."""
        self._configure(self.run.spec if self.run else None)

    def action_filter(self) -> None:
        """Ask which runs to show."""
        from vld_tui.screens.ask import AskLine  # noqa: PLC0415 - not for the first picture

        example = "dropout>=0.9 target=noto status:running tag:best text"
        question = AskLine("Show runs that match:", answer=self._filter, example=example)
        self.app.push_screen(question, self._set_filter)

    def action_sort(self) -> None:
        """Order by the next field."""
        plain = self._sort.removeprefix("-")
        at = next((i for i, sort in enumerate(SORTS) if sort.removeprefix("-") == plain), 0)
        self._sort = SORTS[(at + 1) % len(SORTS)]
        self._ask_history()

    def action_reverse(self) -> None:
        """Turn the order round."""
        is_descending = self._sort.startswith("-")
        self._sort = self._sort.removeprefix("-") if is_descending else f"-{self._sort}"
        self._ask_history()

    def action_clear(self) -> None:
        """Take away marks, then the filter."""
        table = self.query_one(RunTable)
        if table.marked:
            table.clear_marks()
        elif self._filter:
            self._set_filter("")
        table.focus()

    def action_resume(self) -> None:
        """Go on with the run under the cursor."""
        if run := self.run:
            self._do(lambda: self._actions.resume(run.run_id))

    def action_compare(self) -> None:
        """Show the marked runs side by side."""
        if len(self.query_one(RunTable).marked) < 2:
            self.notify("Mark two runs or more with space to compare them.", severity="warning")
        else:
            from vld_tui.screens.compare import CompareScreen  # noqa: PLC0415 - as above

            self.app.push_screen(CompareScreen(self._snapshot.watched))

    def action_queue_again(self) -> None:
        """Let the run under the cursor wait for a slot, to go on."""
        if run := self.run:
            self._do(lambda: self._actions.queue_again(run.run_id))

    def action_interrupt(self) -> None:
        """Ask the run under the cursor to save and stop."""
        if run := self.run:
            self._do(lambda: self._actions.interrupt(run.run_id))

    def action_kill(self) -> None:
        """End the run under the cursor at once, if that is meant."""
        from vld_tui.screens.ask import Confirm  # noqa: PLC0415 - as above

        if run := self.run:

            def answered(is_meant: bool | None) -> None:
                if is_meant:
                    self._do(lambda: self._actions.kill(run.run_id))

            question = f"End {run.name} at once? What came after its last checkpoint is lost."
            self.app.push_screen(Confirm(question), answered)

    def action_trash(self) -> None:
        """Move the marked runs, or the one under the cursor, to the trash."""
        table = self.query_one(RunTable)
        chosen = table.marked or ((self.run.run_id,) if self.run else ())
        if chosen:
            self._trashed = chosen
            table.clear_marks()
            self._do(lambda: self._actions.trash(chosen))

    def action_undo(self) -> None:
        """Take back what was trashed last."""
        if chosen := self._trashed:
            self._trashed = ()
            self._do(lambda: self._actions.restore(chosen))

    def action_tags(self) -> None:
        """Ask for the run's tags."""
        from vld_tui.screens.ask import AskLine  # noqa: PLC0415 - as above

        if run := self.run:

            def answered(text: str | None) -> None:
                if text is not None:
                    self._do(lambda: self._actions.set_tags(run.run_id, text.split()))

            self.app.push_screen(AskLine("Tags:", answer=" ".join(run.tags)), answered)

    def action_note(self) -> None:
        """Ask for the run's note."""
        from vld_tui.screens.ask import AskLine  # noqa: PLC0415 - as above

        if run := self.run:

            def answered(text: str | None) -> None:
                if text is not None:
                    self._do(lambda: self._actions.set_note(run.run_id, text))

            self.app.push_screen(AskLine("Note:", answer=run.note), answered)

    def _configure(self, spec: RunSpec | None) -> None:
        from vld_tui.screens.new_run import NewRun  # noqa: PLC0415 - as above

        def answered(order: Order | None) -> None:
            if order is None:
                return
            begin = self._actions.queue if order.is_queued else self._actions.start
            for each in order.specs:
                self._do(partial(begin, each))

        self.app.push_screen(NewRun(spec), answered)

    def _do(self, action: Callable[[], str]) -> None:
        """Have a worker do something to runs, and say what came of it."""
        self.post_message(ActionAsked(action))

    def _set_filter(self, text: str | None) -> None:
        if text is None:
            return
        try:
            Query.parse(text)
        except QueryError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self._filter = text
        self._ask_history()

    def _ask_history(self) -> None:
        query = Query.parse(self._filter, sort=self._sort)
        self._look(replace(self._interest, query=query, offset=0))
        self._show_query()

    def _watch(self, row: RunRow | None) -> None:
        self._look(replace(self._interest, watched=(row.run.run_id,) if row else ()))

    def _look(self, interest: Interest) -> None:
        """Say what is of interest now, if that changed."""
        if interest != self._interest:
            self._interest = interest
            self.post_message(InterestChanged(interest))

    def _show_curves(self, watched: tuple[RunCurves, ...]) -> None:
        if watched == self._drawn:
            return
        self._drawn = watched
        self.query_one(Curves).show(watched)
        lines = Text(no_wrap=True, overflow="ellipsis")
        if len(watched) == 1:
            run = watched[0].run
            if run.error:
                reason = plain_text(run.error.splitlines()[0])
                lines.append(f"{run.status}: {reason}  r goes on\n", ALARM_STYLE)
            tail = watched[0].log[-4:]
            lines.append("\n".join(plain_text(line) for line in tail), QUIET_STYLE)
        self._put("#log", lines)

    def _show_status(self) -> None:
        snapshot = self._snapshot
        text = status_text(
            snapshot.count, snapshot.live, self._load, home=self._home, problem=snapshot.problem
        )
        self._put("#status", text)

    def _show_query(self) -> None:
        marked = self.query_one(RunTable).marked
        parts = [f"sorted by {self._sort}"]
        parts += [f"filter {self._filter}"] if self._filter else []
        parts += [f"{len(marked)} marked"] if marked else []
        line = Text(f" {plain_text(' · '.join(parts))}", QUIET_STYLE, no_wrap=True)
        if self._filter and self._snapshot.count == 0:
            line.append("   nothing matches; esc shows every run", ALARM_STYLE)
        self._put("#query", line)

    def _put(self, place: str, text: Text) -> None:
        """Show other text in a place whose size does not depend on it."""
        static = self.query_one(place, Static)
        if static.content != text:
            static.update(text, layout=False)
