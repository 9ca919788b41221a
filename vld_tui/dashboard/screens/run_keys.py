"""Actions on one run, for every screen that shows one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from textual.screen import Screen

from vld_tui.dashboard.guard import Guarded
from vld_tui.dashboard.messages import ActionAsked, UseAsked
from vld_tui.runs.run import Run

if TYPE_CHECKING:  # not needed for the first frame
    from vld_tui.dashboard.actions import Actions


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
        """Kill the run after confirmation."""
        from vld_tui.dashboard.widgets.ask import confirm  # not needed for the first frame

        if run := self.run_for_keys():
            question = f"Kill {run.name}? Steps after its last checkpoint are lost."
            kill = partial(self._actions.kill, run.run_id)
            confirm(self.app, question, partial(self._do, kill))

    def action_use(self) -> None:
        """Ask what to do with the trained run."""
        if run := self.run_for_keys():
            if run.selected_step is None and run.combination is None:
                self.notify(f"{run.name} has no trained network yet.", markup=False)
            else:
                self.post_message(UseAsked(run))

    def action_tags(self) -> None:
        """Ask for the run's tags."""
        from vld_tui.dashboard.widgets.ask import AskLine

        if run := self.run_for_keys():

            def answered(text: str | None) -> None:
                if text is not None:
                    after = text.split()
                    self._do(lambda: self._actions.change_tags(run.run_id, run.tags, after))

            self.app.push_screen(AskLine("Tags:", answer=" ".join(run.tags)), answered)

    def action_note(self) -> None:
        """Ask for the run's note."""
        from vld_tui.dashboard.widgets.ask import AskLine

        if run := self.run_for_keys():

            def answered(text: str | None) -> None:
                if text is not None:
                    self._do(lambda: self._actions.set_note(run.run_id, text))

            self.app.push_screen(AskLine("Note:", answer=run.note), answered)

    def _do(self, action: Callable[[], str]) -> None:
        """Request an action, which a worker performs."""
        self.post_message(ActionAsked(action))
