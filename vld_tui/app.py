"""The dashboard: ``vld-tui``."""

from __future__ import annotations

import gc
import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Final

from textual import work
from textual.app import App
from textual.binding import Binding, BindingType
from textual.worker import get_current_worker

from vld_tui.actions import Actions, LocalActions
from vld_tui.feed import HistorySource, Interest, Snapshot, Source
from vld_tui.home import Home
from vld_tui.launch.local import LaunchError
from vld_tui.machine import MachineLoad
from vld_tui.messages import ActionAsked, InterestChanged, RunOpened, SnapshotTaken
from vld_tui.screens.home import HomeScreen
from vld_tui.store.errors import StoreError

REFRESH_S: Final = 1.0
AGEING_S: Final = 10.0
"""What has not changed is shown anew after so long: how old runs are goes on."""
LOAD_S: Final = 5.0


class Dashboard(App[None]):
    """Configures, launches, watches and remembers runs. Leaving it stops none of them."""

    TITLE = "vld-tui"
    CSS_PATH = "app.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]  # noqa: RUF012 - as Textual has it
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "quit"),
        Binding("question_mark", "show_help_panel", "help", key_display="?"),
    ]

    def __init__(
        self,
        source: Source,
        actions: Actions,
        *,
        home: Path,
        clock: Callable[[], float] = time.time,
        measure_load: Callable[[Path], MachineLoad] = MachineLoad.measure,
    ) -> None:
        super().__init__()
        self._source, self._actions = source, actions
        self._home_path, self._clock, self._measure_load = home, clock, measure_load
        self.home = HomeScreen(actions, home=str(home), clock=clock)
        self._interest = Interest()
        self._wake = threading.Event()

    def get_default_screen(self) -> HomeScreen:
        """Return the home screen: nothing is below it."""
        return self.home

    def on_mount(self) -> None:
        """Begin to read history."""
        self.read_history()

    def _begin(self) -> None:
        """Do what could wait for the first picture."""
        gc.enable()
        self._act(self._actions.work_on_queue)  # that of a supervisor that was killed

    def on_interest_changed(self, message: InterestChanged) -> None:
        """Have the worker read what is looked at now."""
        mine = self._interest
        self._look(replace(message.interest, opened=mine.opened, queue=mine.queue))

    def on_unmount(self) -> None:
        """Let the worker end at once."""
        self._wake.set()

    def action_show_help_panel(self) -> None:
        """Show or hide the list of keys."""
        if self.screen.query("HelpPanel"):
            self.action_hide_help_panel()
        else:
            super().action_show_help_panel()

    def on_action_asked(self, message: ActionAsked) -> None:
        """Do something to runs without keeping the screen waiting, and say what came of it."""
        self._act(message.action)

    @work(thread=True)
    def _act(self, action: Callable[[], str]) -> None:
        try:
            said, severity = action(), "information"
        except (StoreError, LaunchError) as error:
            said, severity = str(error), "error"
        if said:
            self.call_from_thread(self.notify, said, severity=severity, markup=False)
        self._wake.set()

    def on_run_opened(self, message: RunOpened) -> None:
        """Show all of a run."""
        from vld_tui.screens.run import RunScreen  # noqa: PLC0415 - not for the first picture

        self._look(replace(self._interest, opened=message.run_id))
        self.push_screen(RunScreen(message.run_id))

    def action_open_queue(self) -> None:
        """Show what goes on and what waits."""
        from vld_tui.screens.queue import QueueScreen  # noqa: PLC0415 - as above

        self._look(replace(self._interest, queue=True))
        self.push_screen(QueueScreen(self._actions))

    def action_close_queue(self) -> None:
        """Go back to the list."""
        self._look(replace(self._interest, queue=False))
        self.pop_screen()

    def action_close_run(self) -> None:
        """Go back to the list."""
        self._look(replace(self._interest, opened=None))
        self.pop_screen()

    def _look(self, interest: Interest) -> None:
        self._interest = interest
        self._wake.set()

    def on_snapshot_taken(self, message: SnapshotTaken) -> None:
        """Hand a snapshot to the screens that can be seen."""
        for screen in reversed(self.screen_stack):
            screen.post_message(SnapshotTaken(message.snapshot))
            if not screen.is_modal:
                break

    def _show_load(self, load: MachineLoad) -> None:
        if self.screen is self.home:
            self.home.show_load(load)

    @work(thread=True, exit_on_error=False)
    def read_history(self) -> None:
        """Take snapshots as long as the dashboard is open, at once when interest changes."""
        worker = get_current_worker()
        shown: Snapshot | None = None
        shown_on: object = None
        shown_at = measured_at = -math.inf
        while not worker.is_cancelled:
            self._wake.clear()
            snapshot, on = self._source.take(self._interest), self.screen
            now = time.monotonic()
            is_new = snapshot is not shown or on is not shown_on or now > shown_at + AGEING_S
            if is_new and not worker.is_cancelled:
                is_first = shown is None
                shown, shown_on, shown_at = snapshot, on, now
                self.post_message(SnapshotTaken(snapshot))
                if is_first:
                    self.call_from_thread(self.home.call_after_refresh, self._begin)
            if now > measured_at + LOAD_S:
                measured_at = now
                load = self._measure_load(self._home_path)
                if not worker.is_cancelled:
                    self.call_from_thread(self._show_load, load)
            self._wake.wait(REFRESH_S)
        self._source.close()


def make_dashboard(home: Home) -> Dashboard:
    """Return the dashboard of a home."""
    return Dashboard(HistorySource(home), LocalActions(home), home=home.path)
