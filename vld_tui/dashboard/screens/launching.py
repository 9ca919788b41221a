"""Launch a study from the dashboard: plan it in a worker, show the plan, and ask."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from textual import work
from textual.screen import Screen
from textual.worker import get_current_worker

from engine.protocol import UserError
from vld_tui.dashboard.guard import Guarded
from vld_tui.dashboard.messages import ActionAsked
from vld_tui.dashboard.widgets.ask import Alert, confirm
from vld_tui.views.study import gone_text, plan_lines

if TYPE_CHECKING:
    from vld_tui.dashboard.actions import Actions
    from vld_tui.study.define.files import StudyText
    from vld_tui.study.planner import Planner
    from vld_tui.study.standing import LaunchPlan


class LaunchKeys(Guarded, Screen[None]):
    """A screen that offers to launch studies."""

    def __init__(self, actions: Actions, planner: Planner) -> None:
        super().__init__()
        self._actions, self._planner = actions, planner

    def show_work(self, text: str) -> None:
        """Show what is being worked on; empty: nothing."""
        raise NotImplementedError

    def offer_launch(self, study: str | StudyText) -> None:
        """Show what launching a study would do, and launch it after confirmation."""
        self.show_work("estimating the cost…")
        self._plan(study)

    def launch(self, study: str | StudyText) -> str:
        """Launch a study, in a worker; return what was done.

        Raises:
            UserError: when it cannot be launched.
        """
        return self._actions.launch_study(study)

    @work(thread=True, exclusive=True, group="plan")
    def _plan(self, study: str | StudyText) -> None:
        worker, app = get_current_worker(), self.app
        try:
            plan: LaunchPlan | str = self._planner.study_plan(study)
        except UserError as error:
            plan = str(error)
        if not worker.is_cancelled:  # else the user left, or asked for another plan
            app.call_from_thread(self._show_plan, study, plan)

    def _show_plan(self, study: str | StudyText, plan: LaunchPlan | str) -> None:
        self.show_work("")
        if not self.is_current:  # the user left
            return
        if isinstance(plan, str):
            self.app.push_screen(Alert(plan))
            return
        text = plan_text(plan)
        if plan.refusal is not None:
            self.app.push_screen(Alert(f"{text}\n\n{plan.refusal}"))
            return
        launch = ActionAsked(partial(self.launch, study))
        confirm(self.app, f"{text}\n\nLaunch?", partial(self.post_message, launch))


def plan_text(plan: LaunchPlan) -> str:
    """Return a plan as labelled lines."""
    lines = [*plan_lines(plan.standing, plan.cost, plan.devices)]
    if plan.gone:
        lines.append(("caution", gone_text(plan.gone, plan.standing.study.name)))
    return "\n".join(f"{label:<9} {line}" for label, line in lines)
