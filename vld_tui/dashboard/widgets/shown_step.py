"""The evaluation whose predictions are shown: a line to see and choose it, and its keys."""

from __future__ import annotations

from typing import Any

from textual import events
from textual.widget import Widget
from textual.widgets import Static

from vld_tui.dashboard.messages import StepAsked
from vld_tui.views.step_strip import ShownStep, StepStrip, step_strip


class StepLine(Static):
    """The steps with stored predictions; a click shows those of a step."""

    DEFAULT_CSS = "StepLine { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }"

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._shown = ShownStep()
        self._strip = StepStrip()

    def show(self, shown: ShownStep) -> None:
        """Show other steps."""
        self._shown = shown
        self._draw()

    def on_resize(self) -> None:
        """Fit the line."""
        self._draw()

    def on_click(self, event: events.Click) -> None:
        """Show the predictions of the clicked step."""
        at = event.get_content_offset(self)
        place = self._strip.at(at.x) if at is not None else None
        if place is not None:
            self.post_message(StepAsked(near=self._shown.steps[place]))

    def _draw(self) -> None:
        if self.size.width:
            self._strip = step_strip(self._shown, self.content_size.width)
        self.display = self._shown.has_line
        self.update(self._strip.line)


class StepKeys(Widget):
    """Mixin for panes with :data:`STEP_KEYS` and a :class:`StepLine`."""

    shown_step = ShownStep()

    def action_evaluation(self, by: int) -> None:
        """Show the predictions of a later or an earlier evaluation."""
        self.post_message(StepAsked(by))

    def action_selected_evaluation(self) -> None:
        """Show the predictions of the selected step again."""
        self.post_message(StepAsked())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer other steps only if their predictions are stored."""
        if action in ("evaluation", "selected_evaluation"):
            return self.shown_step.has_others
        return super().check_action(action, parameters)
