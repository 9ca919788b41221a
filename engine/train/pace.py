"""How fast a run goes and how long it still takes."""

from __future__ import annotations

import time

import torch

from engine.protocol import RunSpec, StepsTaken, evaluations_after
from engine.train.checkpoint import TrainingState


class Pace:
    """The clock of one attempt: training and evaluation are timed apart.

    ``elapsed_s`` counts the attempts before this one too.
    """

    def __init__(
        self,
        spec: RunSpec,
        start: TrainingState,
        images_per_step: int,
        began: float | None = None,
    ) -> None:
        """Start the clock; ``began``: when the attempt did, by ``time.perf_counter``; None: now."""
        self._spec = spec
        self._images_per_step = images_per_step
        self._start_step = start.step
        self._elapsed_before_s = start.elapsed_s
        self._started = time.perf_counter() if began is None else began
        self._evaluation_s = 0.0
        self._per_evaluation_s = start.evaluation_s
        self._training_started = time.perf_counter()
        self._evaluation_before_training_s = 0.0

    @property
    def elapsed_s(self) -> float:
        """Return the seconds of this attempt, its preparation included, and of earlier ones up to
        their checkpoint."""
        return self._elapsed_before_s + time.perf_counter() - self._started

    def training_begins(self) -> None:
        """Start the clock of the steps, leaving out what came before them."""
        self._training_started = time.perf_counter()
        self._evaluation_before_training_s = self._evaluation_s

    def evaluated(self, wall_s: float, next_s: float) -> None:
        """Count an evaluation that took ``wall_s`` seconds; the next will take ``next_s``."""
        self._evaluation_s += wall_s
        self._per_evaluation_s = next_s

    def steps_taken(
        self, step: int, loss: float | None, optimizer: torch.optim.Optimizer
    ) -> StepsTaken:
        """Describe the run after ``step`` updates, with a loss in nats."""
        in_steps_s = time.perf_counter() - self._training_started
        in_steps_s -= self._evaluation_s - self._evaluation_before_training_s
        steps_per_s = (step - self._start_step) / in_steps_s
        return StepsTaken(
            step=step,
            loss=loss,
            lr=optimizer.param_groups[0]["lr"],
            head_lr=optimizer.param_groups[1]["lr"],
            steps_per_s=steps_per_s,
            images_per_s=steps_per_s * self._images_per_step,
            elapsed_s=self.elapsed_s,
            seconds_left=self._seconds_left(step, steps_per_s),
        )

    def _seconds_left(self, step: int, steps_per_s: float) -> float:
        spec = self._spec
        evaluating_s = evaluations_after(spec, step) * self._per_evaluation_s
        return (spec.steps - step) / steps_per_s + evaluating_s
