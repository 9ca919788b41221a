"""The queue: running runs, and queued ones in order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import DataTable, Static

from vld_tui.config import MOST_SLOTS
from vld_tui.dashboard.actions import Actions
from vld_tui.dashboard.feed import QueueState
from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.messages import ActionAsked, RunOpened, SnapshotTaken
from vld_tui.dashboard.screens.filtered import FilteredScreen
from vld_tui.dashboard.widgets.filter_line import RowFilterLine
from vld_tui.dashboard.widgets.key_bar import KeyBar
from vld_tui.runs.run import Run
from vld_tui.views.queue import QUEUE_COLUMNS, job_rows, queue_rows, slots_line
from vld_tui.words.columns import GAP, align, lay_out
from vld_tui.words.numbers import plural
from vld_tui.words.palette import QUIET_STYLE, status_style

MOST_ROWS: Final = 500
ID_RANK: Final = 45
SHOWN_COLUMNS: Final = tuple(
    each._replace(rank=ID_RANK) if each.heading == "run" else each for each in QUEUE_COLUMNS
)
"""Ids go before what runs are, since no key needs them."""
SCROLLBAR_CELLS: Final = 2
NOTHING: Final = (
    "No running or queued runs. To queue one: ctrl+l in the form of a new run (n), Q on an "
    "ended run, or vld run --queue"
)


class QueueScreen(FilteredScreen):
    """Runs in the order in which they will start."""

    AUTO_FOCUS = "DataTable"
    LEAVE = "app.close_queue"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "escape,3", "leave", "back", key_display="esc", show=True),
        bind("studies", "4", "studies", "studies"),
        bind("filter", "slash,f", "filter", "filter", key_display="/"),
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
        self._runs: tuple[Run, ...] = ()
        self._shown: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        """Lay out the number of slots, the filter and the table."""
        yield Static(id="status")
        yield RowFilterLine(["status", *(column.heading for column in QUEUE_COLUMNS[1:])])
        yield DataTable(id="queue", cursor_type="row", zebra_stripes=False)
        yield Static(Text("loading…", QUIET_STYLE), id="nothing")
        yield KeyBar()

    def on_snapshot_taken(self, message: SnapshotTaken) -> None:
        """Show the present queue; the cursor stays on its run."""
        if message.snapshot.queue is not None:
            self._state = message.snapshot.queue
            self._show()

    def on_resize(self) -> None:
        """Show the columns that fit."""
        self._show()

    async def action_studies(self) -> None:
        """Show the studies instead."""
        await self.run_action("app.close_queue")
        await self.run_action("app.open_studies")

    def _show(self) -> None:
        state, current, line = self._state, self.run, self.query_one(RowFilterLine)
        runs = (*state.live, *state.waiting, *state.on_cluster)
        cells = [
            *queue_rows(state.live, state.waiting, state.times),
            *job_rows(state.on_cluster),
        ]
        found = line.select([(run.status, *row[1:]) for run, row in zip(runs, cells, strict=True)])
        self._runs = tuple(runs[place] for place in found[:MOST_ROWS])
        rows = tuple((runs[place].run_id, *cells[place]) for place in found[:MOST_ROWS])
        self._show_status(line.summary(len(found), len(runs)))
        nothing = self.query_one("#nothing", Static)
        nothing.display = not runs
        nothing.update(Text(NOTHING, QUIET_STYLE))
        cells_wide = self.size.width - len(GAP) - SCROLLBAR_CELLS
        if (rows, cells_wide) == self._shown:
            return
        self._shown = rows, cells_wide
        layout = lay_out(SHOWN_COLUMNS, [row for _, *row in rows], cells_wide)
        table = self._table
        table.clear(columns=True)
        for at, width in zip(layout.shown, layout.widths, strict=True):
            heading = SHOWN_COLUMNS[at].heading
            table.add_column(heading, key=heading or "sign", width=width)
        for run, (run_id, *row) in zip(self._runs, rows, strict=True):
            shown = align(SHOWN_COLUMNS, layout, row)
            table.add_row(*(Text(cell, status_style(run.status)) for cell in shown), key=run_id)
        if current is not None and current.run_id in table.rows:
            table.move_cursor(row=table.get_row_index(current.run_id))

    def _show_status(self, filtered: str) -> None:
        state = self._state
        line = f" queue  {slots_line(state.live, state.waiting, state.slots)}"
        if state.on_cluster:
            line += f" · {len(state.on_cluster)} on the cluster"
        text = Text(f"{line}{filtered}", no_wrap=True, overflow="ellipsis")
        self.query_one("#status", Static).update(text)

    @property
    def run(self) -> Run | None:
        """Return the run under the cursor."""
        row = self._table.cursor_row
        return self._runs[row] if row < min(len(self._runs), self._table.row_count) else None

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
