"""Which evaluation's predictions the screen of a run shows: the selected one's, or another's."""

from __future__ import annotations

from typing import NamedTuple

from engine.protocol import Predictions, PredictionsError, RunTask
from vld_tui.dashboard.feed import RunDetail
from vld_tui.dashboard.messages import StepAsked
from vld_tui.runs.step_predictions import PredictionSteps
from vld_tui.views.combined import step_label
from vld_tui.views.step_strip import ShownStep


class ShownPredictions(NamedTuple):
    """Predictions, why they cannot be read, and their step among the others."""

    predictions: Predictions | None
    problem: str | None
    step: ShownStep


class StepRead(NamedTuple):
    """The predictions of a step that were read, or why they cannot be."""

    step: int
    predictions: Predictions | None
    problem: str | None


class StepCursor:
    """The evaluation that the user looks at; until one is asked for, it is the selected one."""

    def __init__(self) -> None:
        self.step: int | None = None
        self._known = PredictionSteps()
        self._read: StepRead | None = None

    def update(self, detail: RunDetail) -> int | None:
        """Take over what is stored now; return the step to read again, if any."""
        before, contents = self._known, detail.contents
        self._known = PredictionSteps(contents.step_predictions, contents.predictions)
        if self.step not in self._known.steps or self.step == self._selected:
            self.step = None
        return self.step if before.stored != self._known.stored else None

    def move(self, asked: StepAsked) -> int | None:
        """Go to another evaluation; return the step to read, if any."""
        steps, before = self._known.steps, self.step
        found = None
        if steps and asked.near is not None:
            near = asked.near
            found = min(steps, key=lambda each: abs(each - near))
        elif steps and asked.by:
            at = self.step if self.step is not None else self._selected
            place = steps.index(at) if at is not None else len(steps)
            found = steps[max(0, min(place + asked.by, len(steps) - 1))]
        self.step = None if found == self._selected else found
        return self.step if self.step != before else None

    def read(self, step: int) -> StepRead:
        """Return the predictions of a step; blocks, so use it in a worker."""
        try:
            return StepRead(step, self._known.read(step), None)
        except (PredictionsError, LookupError) as error:  # or removed since it was asked for
            said = f"The predictions of step {step:,} cannot be read: {error}"
            return StepRead(step, None, said)

    def take(self, found: StepRead) -> bool:
        """Take over predictions that were read; return whether they are those to show."""
        if found.step == self.step:
            self._read = found
        return found.step == self.step

    def shown(self, detail: RunDetail) -> ShownPredictions:
        """Return what to show; until a step is read, the predictions shown before."""
        contents = detail.contents
        predictions, problem = contents.predictions, contents.predictions_problem
        if problem is not None:
            problem = f"predictions.json cannot be read: {problem}"
        if self.step is not None and self._read is not None:
            _, predictions, problem = self._read
        step = self.step if self.step is not None else self._selected
        return ShownPredictions(predictions, problem, self._as_shown(step, detail))

    @property
    def _selected(self) -> int | None:
        return None if self._known.selected is None else self._known.selected.step

    def _as_shown(self, step: int | None, detail: RunDetail) -> ShownStep:
        task: RunTask = detail.curves.run.task
        selected = detail.progress.selected
        return ShownStep(
            self._known.steps,
            step,
            "" if step is None else step_label(step, task),
            self._selected if selected is None else selected.step,
            len(detail.progress.evaluations),
        )
