"""What keys do to one run, on every screen that shows one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.screen import Screen

from vld_tui.dashboard.guard import Guarded
from vld_tui.dashboard.messages import ActionAsked
from vld_tui.runs.run import Run

if TYPE_CHECKING:  # not for the first picture
    from vld_tui.dashboard.actions import Actions


class RunKeys(Guarded, Screen[None]):
    """A screen with one run that keys act on; the bindings are its own."""

    def __init__(self, actions: Actions) -> None:
        super().__init__()
        self._actions = actions

    @property
    def run(self) -> Run | None:
        """Return the run that is looked at, if there is one."""
        raise NotImplementedError

    def run_for_keys(self) -> Run | None:
        """Return the run that keys act on; a screen may say why there is none."""
        return self.run

    def action_resume(self) -> None:
        """Go on with the run."""
        if run := self.run_for_keys():
            self._do(lambda: self._actions.resume(run.run_id))

    def action_queue_again(self) -> None:
        """Let the run wait for a slot, to go on."""
        if run := self.run_for_keys():
            self._do(lambda: self._actions.queue_again(run.run_id))

    def action_interrupt(self) -> None:
        """Ask the run to save and stop."""
        if run := self.run_for_keys():
            self._do(lambda: self._actions.interrupt(run.run_id))

    def action_kill(self) -> None:
        """End the run at once, if that is meant."""
        from vld_tui.dashboard.widgets.ask import Confirm  # not for the first picture

        if run := self.run_for_keys():

            def answered(is_meant: bool | None) -> None:
                if is_meant:
                    self._do(lambda: self._actions.kill(run.run_id))

            question = f"End {run.name} at once? What came after its last checkpoint is lost."
            self.app.push_screen(Confirm(question), answered)

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
        """Have a worker do something to runs, and say what came of it."""
        self.post_message(ActionAsked(action))
