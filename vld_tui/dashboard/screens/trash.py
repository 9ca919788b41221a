"""The trash: its runs, to restore them or to delete them permanently."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar, Final

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import DataTable, Static
from textual.worker import get_current_worker

from engine.protocol import UserError
from vld_tui.control.trash import TrashedRun, total_bytes
from vld_tui.dashboard.actions import Actions
from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.messages import ActionAsked
from vld_tui.dashboard.screens.filtered import FilteredScreen
from vld_tui.dashboard.widgets.ask import confirm
from vld_tui.dashboard.widgets.filter_line import RowFilterLine
from vld_tui.dashboard.widgets.key_bar import KeyBar
from vld_tui.words.numbers import UNKNOWN, moment, plural, size
from vld_tui.words.palette import HEADING_STYLE, QUIET_STYLE, STATUS_SIGNS, status_style
from vld_tui.words.text import plain_text

MOST_ROWS: Final = 2_000
MEASURED_AT_ONCE: Final = 20
"""Folders measured before their sizes are shown."""
COLUMNS: Final = ("", "name", "trashed", "size", "run")
MARK: Final = "▐"


class TrashScreen(FilteredScreen):
    """The runs in the trash, the last trashed one first."""

    AUTO_FOCUS = "DataTable"
    LEAVE = "app.pop_screen"
    DEFAULT_CSS = """
    TrashScreen DataTable { height: auto; max-height: 1fr; background: $background; }
    TrashScreen #nothing { padding: 1 2; height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "escape", "leave", "back", show=True),
        bind("filter", "slash,f", "filter", "filter", key_display="/"),
        bind("mark", "space", "mark", "mark", show=True),
        bind("restore", "r", "restore", "restore", show=True),
        bind("delete", "ctrl+d", "delete", "delete permanently", show=True),
        bind("empty-trash", "X", "empty", "empty the trash", show=True),
    ]

    def __init__(self, actions: Actions) -> None:
        super().__init__()
        self._actions = actions
        self._trashed: list[TrashedRun] = []
        self._listed: list[TrashedRun] = []
        self._marked: set[str] = set()

    def compose(self) -> ComposeResult:
        """Lay out the heading, the filter and the table."""
        yield Static(id="status")
        yield RowFilterLine(["status", *COLUMNS[1:]])
        table: DataTable[Text] = DataTable(cursor_type="row", zebra_stripes=False)
        for column in COLUMNS:
            table.add_column(column, key=column or "sign")
        yield table
        yield Static(Text("The trash is empty.", QUIET_STYLE), id="nothing")
        yield KeyBar()

    def on_mount(self) -> None:
        """Read the trash."""
        self._load()

    def action_mark(self) -> None:
        """Mark or unmark the run under the cursor, and move to the next."""
        if (current := self._current) is not None:
            self._marked ^= {current.run.run_id}
            self._show()
            self.query_one(DataTable).action_cursor_down()

    def action_restore(self) -> None:
        """Restore the marked runs, or the one under the cursor."""
        if chosen := self._chosen:
            self._do(partial(self._actions.restore, _ids(chosen)))

    def action_delete(self) -> None:
        """Permanently delete the marked runs, or the one under the cursor, after confirmation."""
        self._ask_to_delete(self._chosen)

    def action_empty(self) -> None:
        """Permanently delete all runs in the trash after confirmation."""
        self._ask_to_delete(self._trashed)

    @property
    def _current(self) -> TrashedRun | None:
        row = self.query_one(DataTable).cursor_row
        return self._listed[row] if 0 <= row < len(self._listed) else None

    @property
    def _chosen(self) -> list[TrashedRun]:
        marked = [each for each in self._trashed if each.run.run_id in self._marked]
        return marked or [each for each in (self._current,) if each is not None]

    def _ask_to_delete(self, chosen: Sequence[TrashedRun]) -> None:
        if not chosen:
            return
        what = chosen[0].run.label if len(chosen) == 1 else plural(len(chosen), "run")
        found = total_bytes(chosen)
        room = "size not measured yet" if found is None else size(found)
        delete = partial(self._actions.delete, _ids(chosen))
        confirm(self.app, f"Permanently delete {what} ({room})?", partial(self._do, delete))

    def _do(self, action: Callable[[], str]) -> None:
        """Request an action, and read the trash again after it."""

        def act() -> str:
            try:
                return action()
            finally:
                if self.is_attached:
                    self.app.call_from_thread(self._load)

        self._marked.clear()
        self.post_message(ActionAsked(act))

    @work(thread=True, exclusive=True)
    def _load(self) -> None:
        """Read the trash, then measure its folders."""
        worker = get_current_worker()
        try:
            trashed = self._actions.trash_contents()
            self.app.call_from_thread(self._set, list(trashed))
            for start in range(0, len(trashed), MEASURED_AT_ONCE):
                if worker.is_cancelled:
                    return
                part = slice(start, start + MEASURED_AT_ONCE)
                trashed[part] = self._actions.measured_trash(trashed[part])
                self.app.call_from_thread(self._set, list(trashed))
        except UserError as error:
            self.app.call_from_thread(self.notify, str(error), severity="error", markup=False)

    def _set(self, trashed: list[TrashedRun]) -> None:
        self._trashed = trashed
        if self.is_attached:
            self._show()

    def _show(self) -> None:
        table, filtered = self.query_one(DataTable), self.query_one(RowFilterLine)
        current = self._current
        found = filtered.select([_row(each) for each in self._trashed])
        row = table.cursor_row
        self._listed = [self._trashed[place] for place in found[:MOST_ROWS]]
        table.clear()
        for each in self._listed:
            table.add_row(*self._cells(each), key=each.run.run_id)
        if current is not None and current.run.run_id in table.rows:
            row = table.get_row_index(current.run.run_id)
        table.move_cursor(row=min(row, len(self._listed) - 1))
        table.display = bool(self._trashed)
        self.query_one("#nothing").display = not self._trashed
        self._show_status(filtered.summary(len(found), len(self._trashed)))

    def _show_status(self, filtered: str) -> None:
        found = total_bytes(self._trashed)
        line = Text(" trash  ", HEADING_STYLE, no_wrap=True, overflow="ellipsis")
        line.append(plural(len(self._trashed), "run"), "not bold")
        line.append(f" · {UNKNOWN if found is None else size(found)}", "not bold")
        if self._marked:
            line.append(f" · {len(self._marked)} marked", "not bold")
        if len(self._listed) == MOST_ROWS < len(self._trashed):
            line.append(f" · the last {MOST_ROWS:,} are listed", "not bold")
        line.append(filtered, "not bold")
        self.query_one("#status", Static).update(line)

    def _cells(self, trashed: TrashedRun) -> list[Text]:
        run = trashed.run
        mark = MARK if run.run_id in self._marked else " "
        _, name, when, room, run_id = _row(trashed)
        return [
            Text(f"{mark}{STATUS_SIGNS.get(run.status, '?')}", status_style(run.status)),
            Text(name),
            Text(when, QUIET_STYLE),
            Text(room, justify="right"),
            Text(run_id, QUIET_STYLE),
        ]


def _row(trashed: TrashedRun) -> tuple[str, ...]:
    """Return the status, then the text of each column."""
    run = trashed.run
    when = UNKNOWN if run.trashed_at is None else moment(run.trashed_at)
    return run.status, plain_text(run.label), when, size(trashed.bytes), run.run_id


def _ids(trashed: Sequence[TrashedRun]) -> tuple[str, ...]:
    return tuple(each.run.run_id for each in trashed)
