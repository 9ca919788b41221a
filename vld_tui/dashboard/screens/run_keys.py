"""Actions on one run, for every screen that shows one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from textual.screen import Screen

from vld_tui.dashboard.guard import Guarded
from vld_tui.dashboard.messages import ActionAsked, DiagnoseAsked, UseAsked
from vld_tui.dashboard.widgets.key_bar import KeyBar
from vld_tui.runs.run import GONE, NOT_READABLE, QUEUED, Run

if TYPE_CHECKING:  # not needed for the first frame
    from vld_tui.dashboard.actions import Actions


_RESUMING, _STOPPING = ("resume", "queue_again"), ("interrupt", "kill")
_USING = ("use", "diagnose")


def idle_actions(run: Run | None) -> set[str]:
    """Return the actions that can do nothing for a run; for none, those that need one."""
    if run is None:
        return {*_RESUMING, *_STOPPING, *_USING}
    idle: set[str] = set()
    if run.is_live or run.status in (QUEUED, "finished", *NOT_READABLE):
        idle.update(_RESUMING)
    if run.has_ended:
        idle.update(_STOPPING)
    if run.status == GONE or (run.selected_step is None and run.combination is None):
        idle.update(_USING)
    return idle


def forget_question(run: Run) -> str:
    """Return the question whether to forget a run whose folder is missing."""
    return f"Forget {run.label}? Its folder is missing. (z brings its entry back.)"


class RunKeys(Guarded, Screen[None]):
    """A screen whose actions apply to one run; subclasses define the bindings."""

    def __init__(self, actions: Actions) -> None:
        super().__init__()
        self._actions = actions

    @property
    def run(self) -> Run | None:
        """Return the current run, if there is one."""
        raise NotImplementedError

    def run_for_keys(self) -> Run | None:
        """Return the run that actions apply to; a screen may notify the user why there is none."""
        return self.run

    def show_keys(self) -> None:
        """Show the keys of what can be done with the current run."""
        self.query_one(KeyBar).leave_out(idle_actions(self.run))

    def action_resume(self) -> None:
        """Resume the run."""
        if run := self.run_for_keys():
            self._do(lambda: self._actions.resume(run.run_id))

    def action_queue_again(self) -> None:
        """Queue the run, to resume it."""
        if run := self.run_for_keys():
            self._do(lambda: self._actions.queue_again(run.run_id))

    def action_interrupt(self) -> None:
        """Save and stop the run."""
        if run := self.run_for_keys():
            self._do(lambda: self._actions.interrupt(run.run_id))

    def action_kill(self) -> None:
        """Kill the run after confirmation, unless it has ended."""
        from vld_tui.dashboard.widgets.ask import confirm  # not needed for the first frame

        if (run := self.run_for_keys()) is None:
            return
        if run.has_ended:
            said = f"{run.label} has no process to kill: it is {run.status}."
            self.notify(said, severity="warning", markup=False)
        else:
            question = f"Kill {run.label}? Steps after its last checkpoint are lost."
            kill = partial(self._actions.kill, run.run_id)
            confirm(self.app, question, partial(self._do, kill))

    def action_use(self) -> None:
        """Ask what to do with the trained run."""
        if (run := self.run_for_keys()) and self._has_network(run):
            self.post_message(UseAsked(run))

    def action_diagnose(self) -> None:
        """Ask which diagnostics of the trained run to compute, or whether to cancel."""
        if (run := self.run_for_keys()) and self._has_network(run):
            has_target = run.has_ood
            self.post_message(DiagnoseAsked((run.run_id,), run.label, has_target=has_target))

    def _has_network(self, run: Run) -> bool:
        """Return whether a run has a trained network; notify the user if not."""
        if run.status == GONE:
            self.notify(run.reason, severity="error", markup=False)
        elif run.selected_step is None and run.combination is None:
            self.notify(f"{run.label} has no trained network yet.", markup=False)
        else:
            return True
        return False

    def action_tags(self) -> None:
        """Ask for the run's tags."""
        if run := self.run_for_keys():
            self.ask_tags(f"Tags of {run.label}:", (run.run_id,), run.tags)

    def ask_tags(self, question: str, run_ids: Sequence[str], before: Sequence[str]) -> None:
        """Ask for tags in a list that shows ``before``."""
        from vld_tui.dashboard.widgets.ask_labels import AskTags

        def answered(text: str | None) -> None:
            if text is not None:
                self._do(lambda: self._actions.change_tags(run_ids, before, text))

        self.app.push_screen(AskTags(question, before, self._actions.known_tags), answered)

    def action_note(self) -> None:
        """Ask for the run's note."""
        from vld_tui.dashboard.widgets.ask_labels import AskNote

        if run := self.run_for_keys():

            def answered(text: str | None) -> None:
                if text is not None:
                    self._do(lambda: self._actions.set_note(run.run_id, text))

            self.app.push_screen(AskNote(f"Note of {run.label}:", run.note), answered)

    def action_rename(self) -> None:
        """Ask for the run's name."""
        from vld_tui.dashboard.widgets.ask_labels import AskName

        if run := self.run_for_keys():

            def answered(name: str | None) -> None:
                if name is not None:
                    self._do(lambda: self._actions.rename(run.run_id, name))

            self.app.push_screen(AskName(f"Rename {run.label} to:", run.name), answered)

    def action_undo(self) -> None:
        """Undo the last change to the trash, tags, note or name."""
        self._do(lambda: self._actions.undo().said)

    def _do(self, action: Callable[[], str]) -> None:
        """Request an action, which a worker performs."""
        self.post_message(ActionAsked(action))
