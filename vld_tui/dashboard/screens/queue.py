"""The queue: running runs, and queued ones in order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widgets import DataTable, Static

from vld_tui.config import MOST_SLOTS
from vld_tui.dashboard.actions import Actions
from vld_tui.dashboard.feed import QueueState
from vld_tui.dashboard.guard import Guarded
from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.messages import ActionAsked, RunOpened, SnapshotTaken
from vld_tui.dashboard.widgets.key_bar import KeyBar
from vld_tui.runs.run import Run
from vld_tui.views.queue import QUEUE_COLUMNS, job_rows, queue_rows, slots_line
from vld_tui.words.numbers import plural
from vld_tui.words.palette import QUIET_STYLE, status_style

MOST_ROWS: Final = 500
NOTHING: Final = (
    "No running or queued runs. To queue one: ctrl+l in the form of a new run (n), Q on an "
    "ended run, or vld run --queue"
)


class QueueScreen(Guarded, Screen[None]):
    """Runs in the order in which they will start."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "escape,3", "app.close_queue", "back", key_display="esc", show=True),
        bind(
            "earlier", "less_than_sign,shift+up", "move(-1)", "earlier", key_display="<", show=True
        ),
        bind(
            "later", "greater_than_sign,shift+down", "move(1)", "later", key_display=">", show=True
        ),
        bind("hold-release", "p", "hold", "hold/release", show=True),
        bind("stop", "S,delete", "interrupt", "stop", key_display="S", show=True),
        bind("more-slots", "plus,equals_sign", "slots(1)", "add slot", key_display="+", show=True),
        bind("fewer-slots", "minus", "slots(-1)", "remove slot", key_display="-", show=True),
    ]

    def __init__(self, actions: Actions) -> None:
        super().__init__()
        self._actions = actions
        self._state = QueueState()
        self._shown: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        """Lay out the number of slots and the table."""
        yield Static(id="status")
        table: DataTable[Text] = DataTable(id="queue", cursor_type="row", zebra_stripes=False)
        for column in QUEUE_COLUMNS:
            table.add_column(column.heading, key=column.heading or "sign")
        yield table
        yield Static(Text("loading…", QUIET_STYLE), id="nothing")
        yield KeyBar()

    def on_snapshot_taken(self, message: SnapshotTaken) -> None:
        """Show the present queue; the cursor stays on its run."""
        state = message.snapshot.queue
        if state is None:
            return
        current = self.run
        self._state = state
        runs = self._runs[:MOST_ROWS]
        all_rows = (
            *queue_rows(state.live, state.waiting, state.times),
            *job_rows(state.on_cluster),
        )
        rows = tuple(map(tuple, all_rows))[:MOST_ROWS]
        line = f" queue  {slots_line(state.live, state.waiting, state.slots)}"
        if state.on_cluster:
            line += f" · {len(state.on_cluster)} on the cluster"
        self.query_one("#status", Static).update(Text(line, no_wrap=True, overflow="ellipsis"))
        nothing = self.query_one("#nothing", Static)
        nothing.display = not runs
        nothing.update(Text(NOTHING, QUIET_STYLE))
        if rows == self._shown:
            return
        self._shown = rows
        table = self._table
        table.clear()
        for run, row in zip(runs, rows, strict=True):
            table.add_row(*(Text(cell, status_style(run.status)) for cell in row), key=run.run_id)
        if current is not None and current.run_id in table.rows:
            table.move_cursor(row=table.get_row_index(current.run_id))

    @property
    def _runs(self) -> tuple[Run, ...]:
        """Return the runs in the order of the table."""
        return (*self._state.live, *self._state.waiting, *self._state.on_cluster)

    @property
    def run(self) -> Run | None:
        """Return the run under the cursor."""
        runs = self._runs
        row = self._table.cursor_row
        return runs[row] if row < min(len(runs), self._table.row_count) else None

    def action_move(self, places: int) -> None:
        """Move the run up or down."""
        if (run := self._waiting_run()) is not None:
            self._do(partial(self._actions.move, run.run_id, places))

    def action_hold(self) -> None:
        """Hold the run, or release it."""
        if (run := self._waiting_run()) is not None:
            self._do(partial(self._actions.hold, run.run_id, is_held=not run.is_held))

    def action_interrupt(self) -> None:
        """Save and stop the run, or remove it from the queue."""
        if (run := self.run) is not None:
            self._do(partial(self._actions.interrupt, run.run_id))

    def action_slots(self, change: int) -> None:
        """Allow more or fewer concurrent runs."""
        count = len(self._state.slots) + change
        if not 1 <= count <= MOST_SLOTS:
            self.notify(f"The queue has 1 to {MOST_SLOTS} slots.")
            return
        self._do(partial(self._actions.set_slots, count))
        if change < 0 and (running := len(self._state.live)) > count:
            self.notify(
                f"{plural(count, 'slot')}, {plural(running, 'run')} running: none is stopped. The "
                f"next queued run starts when fewer than {count} are running."
            )

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Open a run."""
        if event.row_key.value is not None:
            self.post_message(RunOpened(event.row_key.value))

    @property
    def _table(self) -> DataTable[Text]:
        return self.query_one("#queue", DataTable)

    def _waiting_run(self) -> Run | None:
        """Return the run under the cursor if it is queued; otherwise notify the user."""
        run = self.run
        if run is not None and run.is_live:
            self.notify(f"{run.label} is already running.", severity="warning", markup=False)
            return None
        return run

    def _do(self, action: Callable[[], str]) -> None:
        self.post_message(ActionAsked(action))
