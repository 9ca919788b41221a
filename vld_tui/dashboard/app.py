"""The dashboard: ``vld-tui``."""

from __future__ import annotations

import contextlib
import gc
import importlib
import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final
from weakref import WeakKeyDictionary

import msgspec
from textual import work
from textual._compositor import CompositorUpdate
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.events import Key
from textual.filter import LineFilter
from textual.reactive import reactive
from textual.screen import Screen
from textual.theme import Theme
from textual.widgets import Input
from textual.worker import Worker, get_current_worker

from engine.protocol import UserError
from vld_tui.dashboard.actions import Actions
from vld_tui.dashboard.changed_cells import ChangedCells
from vld_tui.dashboard.feed import HistorySource, Interest, Snapshot, Source
from vld_tui.dashboard.guard import ErrorLog
from vld_tui.dashboard.hang_up import end_with_terminal
from vld_tui.dashboard.key_order import KeysInOrder
from vld_tui.dashboard.keys import HELP, KeyTable, bind, key_name, key_names
from vld_tui.dashboard.messages import (
    ActionAsked,
    DiagnoseAsked,
    DiagnosingReported,
    InterestChanged,
    MistakesAsked,
    OtherRunNamed,
    PreferencesChanged,
    RunOpened,
    RunsChosen,
    SnapshotTaken,
    StudyOpened,
    UseAsked,
)
from vld_tui.dashboard.notices import notice_for, terminal_name
from vld_tui.dashboard.preferences import PREFERENCES_SETTING, Preferences
from vld_tui.dashboard.screens.home import HomeScreen
from vld_tui.dashboard.shades import ON_DARK, ON_LIGHT
from vld_tui.dashboard.themes import READABLE_DIM, THEMES, with_selection
from vld_tui.dashboard.uncontrolled import UNCONTROLLED
from vld_tui.home import Home
from vld_tui.runs.machine import MachineLoad
from vld_tui.runs.run import Run
from vld_tui.store.errors import StoreError
from vld_tui.store.notifications import SendFailure
from vld_tui.store.store import Store
from vld_tui.study.planner import LocalPlanner, Planner
from vld_tui.views.notifications import failure_lines
from vld_tui.words.numbers import plural
from vld_tui.words.text import plain_text

if TYPE_CHECKING:  # not needed for the first frame
    from textual.command import Provider

    from engine.protocol.diagnostics import Topic
    from vld_tui.dashboard.screens.use.screen import UseForm
    from vld_tui.dashboard.use.diagnosing import Diagnosing, DiagnosingProgress
    from vld_tui.dashboard.use.results import Uses
    from vld_tui.study.planner import StudyOutline

AGEING_S: Final = 10.0
"""Time after which an unchanged snapshot is shown again, since the age of runs changes."""
LOAD_S: Final = 5.0
"""Interval between measurements of the machine's load."""


def _screen_actions() -> type[Provider]:
    from vld_tui.dashboard.palette import ScreenActions  # not needed for the first frame

    return ScreenActions


def _jumps() -> type[Provider]:
    from vld_tui.dashboard.palette import Jumps

    return Jumps


class Dashboard(KeysInOrder):
    """Configures, launches and watches runs; quitting it stops none of them."""

    TITLE = "vld-tui"
    CSS_PATH = "app.tcss"
    NOTIFICATION_TIMEOUT = 4
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]  # noqa: RUF012 - as Textual has it
    COMMANDS = {_screen_actions, _jumps}  # noqa: RUF012 - as Textual has it
    diagnosing: reactive[DiagnosingProgress | None] = reactive(None)
    """The progress of diagnostics that are computed in the background; None: none are."""
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("quit", "q", "close_dashboard", "quit", show=True),
        bind(HELP, "question_mark,f1", "show_help_panel", "help", show=True),
        bind("settings", "comma", "open_settings", "settings"),
        bind("suspend", "ctrl+z", "suspend_process", "suspend"),
    ]

    def __init__(
        self,
        source: Source,
        actions: Actions,
        planner: Planner,
        *,
        home: Path,
        clock: Callable[[], float] = time.time,
        measure_load: Callable[[Path], MachineLoad] = MachineLoad.measure,
        preferences: Preferences | None = None,
        error_log: ErrorLog | None = None,
        is_empty: bool = False,
    ) -> None:
        super().__init__()
        self.animation_level = "none"  # animations cost bandwidth over SSH
        self.preferences = preferences or Preferences()
        self._error_log = error_log
        self._source, self._actions, self._planner = source, actions, planner
        self._home_path, self._clock, self._measure_load = home, clock, measure_load
        self.home = HomeScreen(
            actions,
            planner,
            home=str(home),
            clock=clock,
            preferences=self.preferences,
            is_empty=is_empty,
        )
        self._shown: tuple[Snapshot | None, object, float] = (None, None, -math.inf)
        self._measured_at = -math.inf
        self._interest = Interest()
        self._shows: WeakKeyDictionary[Screen[Any], dict[str, object]] = WeakKeyDictionary()
        self._is_read_only = False
        self._outlines: dict[str, StudyOutline] = {}
        self._wake = threading.Event()
        self._changed_cells = ChangedCells()
        self._diagnosing: Diagnosing | None = None

    def get_default_screen(self) -> HomeScreen:
        """Return the home screen, the bottom of the stack."""
        return self.home

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Return what changes drawn lines: control characters are removed, and the palette is
        drawn in the shades of the theme."""
        shades = ON_DARK if self.current_theme.dark else ON_LIGHT
        return [UNCONTROLLED, shades, READABLE_DIM, *super().get_line_filters()]

    def get_theme(self, theme_name: str) -> Theme | None:
        """Return a theme by its name; those of the dashboard replace Textual's."""
        return THEMES.get(theme_name) or super().get_theme(theme_name)

    def get_css_variables(self) -> dict[str, str]:
        """Return the variables of the theme, with the colour of the selection."""
        return with_selection(super().get_css_variables())

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        if isinstance(renderable, CompositorUpdate) and not self._batch_count:
            renderable = self._changed_cells.of(renderable)
        super()._display(screen, renderable)

    def on_mount(self) -> None:
        """Apply the preferences and start to read history."""
        if self.preferences.theme in self.available_themes:
            self.theme = self.preferences.theme
        self.theme_changed_signal.subscribe(self, self._keep_theme)
        self.app_resume_signal.subscribe(self, self._draw_again)
        self.set_keymap(self.preferences.keys)
        self.read_history()

    def _begin(self) -> None:
        """Do what is not needed for the first frame."""
        gc.enable()
        self._put_keys_in_force()
        self._act(self._actions.work_on_queue)  # in case its supervisor was killed
        self._load_run_screen()

    @work(thread=True)
    def _load_run_screen(self) -> None:
        """Import what the first ``enter`` needs."""
        importlib.import_module("vld_tui.dashboard.screens.run")

    def on_key(self, event: Key) -> None:
        """Forward keys typed before an input had the focus: they are text, not actions."""
        if isinstance(self.focused, Input) and event.is_printable:
            event.prevent_default()
            self.focused.post_message(Key(event.key, event.character))

    def on_interest_changed(self, message: InterestChanged) -> None:
        """Set what the worker reads."""
        mine = self._interest
        if message.interest is not self._list.interest:  # of a list below the visible one
            return
        self._look(
            replace(
                message.interest,
                opened=mine.opened,
                other=mine.other,
                queue=mine.queue,
                studies=mine.studies,
                study=mine.study,
                times=mine.times,
            )
        )

    def on_times_needed(self) -> None:
        """Read the times of the steps of runs from now on."""
        self._look(replace(self._interest, times=True))

    def on_other_run_named(self, message: OtherRunNamed) -> None:
        """Set the run that the opened one is compared with."""
        self._look(replace(self._interest, other=message.reference))

    def on_preferences_changed(self, message: PreferencesChanged) -> None:
        """Store changed preferences."""
        self.preferences = msgspec.structs.replace(self.preferences, **message.changes)
        if "keys" in message.changes:
            self._put_keys_in_force()
        if not self._is_read_only:
            self._act(partial(self._actions.change_preferences, message.changes))

    def _draw_again(self, _app: App[Any]) -> None:
        """Draw the whole screen after a suspension, since the terminal shows something else."""
        for screen in self.screen_stack:
            screen.call_later(screen.refresh, layout=True)

    def _keep_theme(self, theme: Theme) -> None:
        if theme.name != self.preferences.theme:
            self.post_message(PreferencesChanged(theme=theme.name))

    def survive(self, error: Exception) -> bool:
        """Report an error and continue; without a log, as in tests, errors end the dashboard."""
        if self._error_log is None:
            return False
        if self._error_log.is_new(error):
            said = plain_text(f"{type(error).__name__}: {error}")
            self.notify(
                f"Dashboard error: {said}\nDetails: {self._error_log.path}",
                severity="error",
                markup=False,
                timeout=15,
            )
        return True

    def _handle_exception(self, error: Exception) -> None:
        if not self.survive(error):
            super()._handle_exception(error)

    def _put_keys_in_force(self) -> None:
        """Apply the chosen keys; actions whose keys clash keep the defaults."""
        chosen = self.preferences.keys
        self.set_keymap(chosen)
        if not chosen:
            return
        table = self.key_table
        clashes = dict(table.find_clashes(chosen))
        self.set_keymap({action: keys for action, keys in chosen.items() if action not in clashes})
        for action, clash in clashes.items():
            about = table.actions[action][0]
            said = (
                f"The key {clash.key} chosen for “{about}” is already used for “{clash.about}”. "
                f"“{about}” keeps its default key; change it in the settings (,)."
            )
            self.notify(said, severity="warning", timeout=10, markup=False)

    def get_key_display(self, binding: Binding) -> str:
        """Return a key as it is shown in the footer, the help and the settings."""
        return key_name(binding.key)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Yield every action of this screen, with what it does and its key."""
        from vld_tui.dashboard.palette import screen_actions  # not needed for the first frame

        yield from screen_actions(self, screen)

    def action_suspend_process(self) -> None:
        """Return to the shell; ``fg`` continues."""
        if self._driver is None or not self._driver.can_suspend:
            self.notify("Only a dashboard in a terminal can be suspended.", severity="warning")
        else:
            super().action_suspend_process()

    def action_close_dashboard(self) -> None:
        """Close the dashboard; ask first if that loses decisions on suspects."""
        unsaved = self._uses.unsaved_decisions
        if unsaved:
            from vld_tui.dashboard.widgets.ask import confirm

            lost = plural(unsaved, "decision")
            question = f"{lost} on suspects {'is' if unsaved == 1 else 'are'} not saved. Quit?"
            confirm(self, question, self.exit)
        else:
            self.exit()

    def action_help_quit(self) -> None:
        """Name the key that quits; ctrl+c does not."""
        key = key_names(self.preferences.keys.get("quit", "q"))
        self.notify(f"{key} quits; runs continue in the background.")

    def action_open_settings(self) -> None:
        """Open the settings."""
        # Not needed for the first frame.
        from vld_tui.dashboard.screens.settings import SettingsScreen

        self.push_screen(SettingsScreen(self.preferences, self.key_table))

    @cached_property
    def key_table(self) -> KeyTable:
        """Return every action that has keys."""
        from vld_tui.dashboard.chains import chains  # imports every screen

        return KeyTable(chains(self.BINDINGS))

    def on_unmount(self) -> None:
        """Make the workers end immediately."""
        self._wake.set()
        if self._diagnosing is not None:
            self._diagnosing.work.cancel()
        self._planner.close()

    def action_show_help_panel(self) -> None:
        """List the keys of this screen, instead of Textual's panel, which keys cannot scroll."""
        from vld_tui.dashboard.screens.help import HelpScreen  # not needed for the first frame

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(self.screen.active_bindings))

    @property
    def actions(self) -> Actions:
        """Return what can be done with the runs of the home."""
        return self._actions

    def report_study(self, name: str) -> None:
        """Write a study's report, and show the path of its page."""
        self.notify("writing the report…")
        self._act(lambda: f"Report of {name}: {self._actions.report_study(name, lambda _: None)}")

    def on_action_asked(self, message: ActionAsked) -> None:
        """Run an action in a worker, and report its result."""
        self._act(message.action)

    @work(thread=True)
    def _act(self, action: Callable[[], str]) -> None:
        self._perform(action)

    def _perform(self, action: Callable[[], str]) -> None:
        """Perform an action in this worker, and report its result."""
        try:
            said, severity = action(), "information"
        except UserError as error:
            said, severity = str(error), "error"
        if said:
            self.call_from_thread(self.notify, said, severity=severity, markup=False)
        self._wake.set()

    def on_run_opened(self, message: RunOpened) -> None:
        """Open a run."""
        from vld_tui.dashboard.screens.run import RunScreen

        if not isinstance(self.screen, RunScreen):  # requested twice
            screen = RunScreen(self._actions, message.run_id, pane=message.pane)
            self._open(screen, opened=message.run_id)

    def on_mistakes_asked(self, message: MistakesAsked) -> None:
        """Compare the mistakes of two runs."""
        from vld_tui.dashboard.screens.flips import FlipsScreen

        if not isinstance(self.screen, FlipsScreen):  # requested twice
            self.push_screen(FlipsScreen(self._actions, message.first, message.second))

    def on_use_asked(self, message: UseAsked) -> None:
        """Ask what to do with a trained run."""
        from vld_tui.dashboard.screens.use.menu import ask_use

        ask_use(self, message.run, self._uses, self._actions, self._planner)

    def on_diagnose_asked(self, message: DiagnoseAsked) -> None:
        """Ask which diagnostics to compute; while some are computed, whether to cancel them."""
        from vld_tui.dashboard.screens.use.topics import ask_topics

        if self._diagnosing is not None:
            from vld_tui.dashboard.widgets.ask import confirm

            question = f"Cancel {self._diagnosing.first.title}?"
            confirm(self, question, self._diagnosing.work.cancel)
        else:
            ask_topics(self, message, partial(self._begin_diagnosing, message))

    def _begin_diagnosing(self, asked: DiagnoseAsked, topics: Sequence[Topic]) -> None:
        from vld_tui.dashboard.use.diagnosing import Diagnosing

        def report(progress: DiagnosingProgress) -> None:
            self.post_message(DiagnosingReported(progress))

        if self._diagnosing is None:
            doing = Diagnosing(asked.run_ids, asked.which, topics, report)
            self._diagnosing, self.diagnosing = doing, doing.first
            self._diagnose(doing)

    @work(thread=True)
    def _diagnose(self, doing: Diagnosing) -> None:
        """Compute diagnostics in an engine process, which ends with the dashboard."""

        def diagnose() -> str:
            try:
                asked = doing.first
                return self._actions.diagnose(asked.run_ids, asked.topics, doing.work)
            finally:
                self.post_message(DiagnosingReported(None))

        self._perform(diagnose)

    def on_diagnosing_reported(self, message: DiagnosingReported) -> None:
        """Show the progress of diagnostics."""
        self.diagnosing = message.progress
        if message.progress is None:
            self._diagnosing = None

    def on_use_form_typed(self, message: UseForm.Typed) -> None:
        """Keep the texts of a form for the next time."""
        self._uses.typed[message.kind] = message.texts

    def on_use_form_made(self, message: UseForm.Made) -> None:
        """Keep a result and show it."""
        from vld_tui.dashboard.screens.use.menu import show_result

        self._uses.add(message.result)
        show_result(self, message.result, self._actions)
        self._wake.set()

    @cached_property
    def _uses(self) -> Uses:
        from vld_tui.dashboard.use.results import Uses

        return Uses()

    def action_clone(self) -> None:
        """Configure a new run from the opened one."""
        from vld_tui.dashboard.screens.run import RunScreen

        if isinstance(self.screen, RunScreen) and self.screen.run is not None:
            self.home.clone(self.screen.run)

    def action_open_queue(self) -> None:
        """Open the queue."""
        from vld_tui.dashboard.screens.queue import QueueScreen

        if not self._return_to(QueueScreen):
            self._open(QueueScreen(self._actions), queue=True)

    def action_close_queue(self) -> None:
        """Return to the screen below."""
        self._close()

    def action_open_trash(self) -> None:
        """Open the trash."""
        from vld_tui.dashboard.screens.trash import TrashScreen

        if not isinstance(self.screen, TrashScreen):
            self.push_screen(TrashScreen(self._actions))

    def action_open_studies(self) -> None:
        """Open the list of studies and presets."""
        from vld_tui.dashboard.screens.studies import StudiesScreen

        if not self._return_to(StudiesScreen):
            self._open(StudiesScreen(self._actions, self._planner, self._outlines), studies=True)

    def action_close_studies(self) -> None:
        """Return to the screen below."""
        self._close()

    def on_study_opened(self, message: StudyOpened) -> None:
        """Open a study."""
        from vld_tui.dashboard.screens.study import StudyScreen

        if not isinstance(self.screen, StudyScreen):  # requested twice
            screen = StudyScreen(self._actions, self._planner, message.name)
            self._open(screen, study=message.name)

    def action_close_study(self) -> None:
        """Return to the list of studies."""
        self._close()

    def on_runs_chosen(self, message: RunsChosen) -> None:
        """List only some runs, above the screen that they were chosen on."""
        from vld_tui.dashboard.screens.runs import RunsScreen

        if not isinstance(self.screen, RunsScreen):  # requested twice
            screen = RunsScreen(
                self._actions,
                self._planner,
                message.name,
                message.run_ids,
                home=str(self._home_path),
                clock=self._clock,
                preferences=self.preferences,
            )
            self._open(screen)

    def action_close_runs(self) -> None:
        """Return to the screen below."""
        self._close()

    def action_close_run(self) -> None:
        """Return to the screen below."""
        self._close()

    @property
    def _list(self) -> HomeScreen:
        """Return the topmost list of runs."""
        lists = [screen for screen in self.screen_stack if isinstance(screen, HomeScreen)]
        return lists[-1] if lists else self.home

    def _open(self, screen: Screen[None], **shows: object) -> None:
        """Put a screen on top, and read what it ``shows`` besides the list below it."""
        self._shows[screen] = shows
        self._look_for(screen)
        self.push_screen(screen)

    def _close(self) -> None:
        """Return to the screen below, and read what it shows."""
        self.pop_screen()
        self._look_for(self.screen)

    def _return_to(self, kind: type[Screen[Any]]) -> bool:
        """Return to the screen of a kind below the visible one, if there is one."""
        if not any(isinstance(screen, kind) for screen in self.screen_stack):
            return False
        while not isinstance(self.screen, kind):
            self.pop_screen()
        self._look_for(self.screen)
        return True

    def _look_for(self, screen: Screen[Any]) -> None:
        """Read what a screen shows."""
        listed = screen.interest if isinstance(screen, HomeScreen) else self._interest
        nothing = {"opened": None, "other": None, "queue": False, "studies": False, "study": None}
        changes: dict[str, Any] = {**nothing, **self._shows.get(screen, {})}
        self._look(replace(listed, times=self._interest.times, **changes))

    def _look(self, interest: Interest) -> None:
        self._interest = interest
        self._wake.set()

    def on_snapshot_taken(self, message: SnapshotTaken) -> None:
        """Forward a snapshot to the visible screens."""
        snapshot = message.snapshot
        self._is_read_only = snapshot.is_read_only
        for screen in reversed(self.screen_stack):
            screen.post_message(SnapshotTaken(snapshot))
            if not screen.is_modal:
                break

    def _notify_of_ends(self, ended: Sequence[Run]) -> None:
        """Ring the terminal or show a notification for runs that ended."""
        terminal = terminal_name()
        told = dict.fromkeys(  # one bell for all of them
            notice_for(run.label, run.status, self.preferences.notice, terminal=terminal)
            for run in ended
        )
        if any(told) and self._driver is not None:  # Textual's public API has only the bell
            self._driver.write("".join(told))
            self._driver.flush()

    def _show_unsent(self, unsent: Sequence[SendFailure]) -> None:
        """Report notifications that could not be sent."""
        for line in failure_lines(unsent):
            self.notify(line, severity="warning", markup=False, timeout=15)

    def _show_load(self, load: MachineLoad) -> None:
        if isinstance(self.screen, HomeScreen):
            self.screen.show_load(load)

    @work(thread=True, exit_on_error=False)
    def read_history(self) -> None:
        """Take snapshots periodically, and immediately when the interest changes."""
        worker = get_current_worker()
        while not worker.is_cancelled:
            self._wake.clear()
            try:
                self._look_again(worker)
            except Exception as error:  # the worker's edge: reported, and tried again
                if not self.survive(error):
                    raise
            self._wake.wait(self.preferences.refresh_s)
        self._source.close()

    def _look_again(self, worker: Worker[None]) -> None:
        """Take a snapshot and show it if it is new; measure the machine's load periodically."""
        snapshot, on = self._source.take(self._interest), self.screen
        if snapshot.ended and not worker.is_cancelled:  # a later snapshot may replace this one
            self.call_from_thread(self._notify_of_ends, snapshot.ended)
        if snapshot.unsent and not worker.is_cancelled:
            self.call_from_thread(self._show_unsent, snapshot.unsent)
        now = time.monotonic()
        shown, shown_on, shown_at = self._shown
        is_new = snapshot is not shown or on is not shown_on or now > shown_at + AGEING_S
        if is_new and not worker.is_cancelled:
            self._shown = (snapshot, on, now)
            self.post_message(SnapshotTaken(snapshot))
            if shown is None:
                self.call_from_thread(self.home.call_after_refresh, self._begin)
        if now > self._measured_at + LOAD_S:
            self._measured_at = now
            load = self._measure_load(self._home_path)
            if not worker.is_cancelled:
                self.call_from_thread(self._show_load, load)


def run_dashboard(home: Home) -> None:
    """Run the dashboard of a home in this terminal until the user quits or the terminal closes."""
    end_with_terminal()
    make_dashboard(home).run()


def make_dashboard(home: Home) -> Dashboard:
    """Return the dashboard of a home, with its preferences."""
    preferences, is_empty = Preferences(), not home.database.exists()
    if not is_empty:  # a new home is created after the first frame
        with contextlib.suppress(StoreError), Store.open(home) as store:  # errors: shown on screen
            preferences = store.settings.get(PREFERENCES_SETTING, Preferences, preferences)
            is_empty = not store.runs.find(limit=1)
    actions = Actions(home)
    return Dashboard(
        HistorySource(home, actions.stopping),
        actions,
        LocalPlanner(home),
        home=home.path,
        preferences=preferences,
        error_log=ErrorLog(home.error_log),
        is_empty=is_empty,
    )
