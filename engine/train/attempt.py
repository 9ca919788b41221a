"""One attempt at a run: checks, evaluations and checkpoints."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import msgspec
import torch
from torch import Tensor

from engine.data import RunData, ValidationAugmentation, validation_augmentation
from engine.errors import TrainingError
from engine.evaluate import (
    Evaluation,
    StepPredictionsKeeper,
    evaluate_domains,
    keep_predictions,
    keep_predictions_of_arm,
    network_predictor,
)
from engine.machine.processor import peak_memory_bytes, release_freed_memory
from engine.protocol import (
    RunFinished,
    RunSpec,
    StepsTaken,
    dropout_rate_at,
    evaluations_after,
    own_arm,
)
from engine.rundir import RunDir
from engine.rundir.event_log import EventLog
from engine.rundir.phases import Phases
from engine.train.checkpoint import CheckpointFiles, TrainingState
from engine.train.health import (
    DIVERGENCE_ADVICE,
    LossMeter,
    are_finite,
    bad_loss,
    bad_weights,
    class_entropy,
)
from engine.train.setup import Training

SAVED_EVERY_S = 10.0
"""Minimum seconds between checkpoints of a run on frozen features."""


@dataclass(frozen=True)
class Attempt:
    """One attempt at a run. All ranks make the same selection; the first writes.

    ``class_entropy`` (nats) is the loss of a network that predicts only the class frequencies.
    """

    spec: RunSpec
    data: RunData
    training: Training
    run_dir: RunDir
    phases: Phases
    pace: Pace
    checkpoints: CheckpointFiles
    augmentation: ValidationAugmentation | None
    class_entropy: float
    step_predictions: StepPredictionsKeeper

    @classmethod
    def begin(
        cls, spec: RunSpec, data: RunData, training: Training, run_dir: RunDir, phases: Phases,
        began: float,
    ) -> Attempt:  # fmt: skip
        """Return a new attempt; ``began``: its start as a ``time.perf_counter`` value."""
        return cls(
            spec, data, training, run_dir, phases,
            Pace(spec, training.start, spec.images_per_step(len(data.sources)), began),
            CheckpointFiles(
                spec, data, run_dir, phases,
                start_step=training.start.step, writes=training.execution.ranks.is_first,
            ),
            validation_augmentation(spec, data),
            class_entropy(data),
            StepPredictionsKeeper(run_dir, data),
        )  # fmt: skip

    @property
    def log(self) -> EventLog:
        """Return the event log."""
        return self.phases.log

    def check_losses(self, losses: LossMeter, updates: int) -> None:
        """Check the losses since the last reading, after ``updates`` updates.

        Raises:
            TrainingError: if one is not finite; the last checkpoint is kept.
        """
        bad = losses.find_bad()
        if bad is not None:
            step = updates - bad.steps_ago
            raise bad_loss(bad, step, self.data.image_set, self.checkpoints.kept_step)

    def check_weights(self, step: int) -> None:
        """Check that weights and momentum are finite.

        Raises:
            TrainingError: if some are not; the last checkpoint is kept.
        """
        training = self.training
        of_optimizer = [
            value
            for parameter, values in training.optimizer.state.items()
            for value in values.values()
            if isinstance(value, Tensor) and value.device == parameter.device
        ]
        trained = [each for each in training.network.module.parameters() if each.requires_grad]
        if not are_finite([*trained, *of_optimizer]):
            drawn, images = training.batches.drawn, self.data.image_set
            raise bad_weights(step, drawn, images, self.checkpoints.kept_step)

    def measure(self, step: int) -> tuple[Evaluation, float]:
        """Evaluate the run's own network after ``step`` updates; also return the seconds it took.

        Raises:
            TrainingError: if the validation loss is not finite.
        """
        spec, training = self.spec, self.training
        started = time.perf_counter()
        release_freed_memory()
        predictor = network_predictor(
            training.network, spec.eval_batch_size, training.execution, self.augmentation, step
        )
        evaluation = evaluate_domains(
            predictor,
            self.data,
            own_arm(spec),
            keeps_logits=training.arms.need_logits,
            is_augmented=spec.augment_validation,
            select_on=spec.select_on,
            phases=self.phases,
        )
        release_freed_memory()
        if not math.isfinite(evaluation.id_loss):
            raise TrainingError(
                f"The validation loss is NaN or infinite at step {step}. {DIVERGENCE_ADVICE}", step
            )
        return evaluation, time.perf_counter() - started

    def count_evaluation(self, state: TrainingState, took_s: float) -> TrainingState:
        """Count the time of an evaluation; return the state with the next one's expected time.

        Before the first step no arms are evaluated; later their networks take as long each.
        """
        next_s = took_s * (1 + self.training.arms.networks if state.step == 0 else 1)
        self.pace.evaluated(took_s, next_s)
        return msgspec.structs.replace(state, evaluation_s=next_s)

    def keep_predictions(self, step: int, evaluation: Evaluation, *, is_best: bool) -> None:
        """Write the network's predictions; ``is_best``: it is the selected one."""
        if not self.training.execution.ranks.is_first:
            return
        self.step_predictions.keep(step, evaluation.measured)
        if is_best:
            keep_predictions(self.run_dir, step, evaluation.measured, self.data)

    def keep_predictions_of_arm(self, arm: str, step: int, evaluation: Evaluation) -> None:
        """Write an arm's predictions at its selected step."""
        if self.training.execution.ranks.is_first:
            keep_predictions_of_arm(self.run_dir, arm, step, evaluation.measured, self.data)

    def save_evaluated(self, state: TrainingState) -> TrainingState:
        """Save as :meth:`save_last` after an evaluation.

        On frozen features evaluations may follow each other within a second, while the checkpoint
        contains the whole network: until the last step, it is saved every ``SAVED_EVERY_S`` only.
        """
        reads_features = self.data.sources[0].frozen is not None
        is_last = state.step == self.spec.steps
        if reads_features and not is_last and self.checkpoints.age_s < SAVED_EVERY_S:
            return state
        return self.save_last(state)

    def save_stopped(self, state: TrainingState, losses: LossMeter, step: int) -> None:
        """Check losses and weights, and save as :meth:`save_last` after ``step`` updates.

        Raises:
            TrainingError: if some are not finite; the last checkpoint is kept.
        """
        self.check_losses(losses, step)
        self.check_weights(step)
        self.save_last(
            msgspec.structs.replace(
                state, step=step, loss_sum=losses.total, loss_count=losses.count
            )
        )

    def save_last(self, state: TrainingState) -> TrainingState:
        """Save everything a resumed run needs and return the saved state."""
        training = self.training
        state = msgspec.structs.replace(
            state, elapsed_s=self.pace.elapsed_s, scaler=training.scaler.state_dict()
        )
        self.checkpoints.save_last(
            state, training.network, training.optimizer, training.generators,
            training.other_tensors(),
        )  # fmt: skip
        return state

    def finish(self, state: TrainingState) -> RunFinished:
        """Return the terminal event after the last step."""
        selected = state.selected
        if selected is None:  # the last step always evaluates
            raise AssertionError("a finished run has been evaluated")
        return RunFinished(
            step=state.step,
            selected_step=selected.step,
            id_accuracy=selected.id_accuracy,
            ood_accuracy=selected.ood_accuracy,
            wall_s=self.pace.elapsed_s,
            peak_memory_bytes=peak_memory_bytes(),
            plain_id_accuracy=selected.plain_id_accuracy,
        )


class Pace:
    """The clock of one attempt, with separate times for training and evaluation."""

    def __init__(
        self,
        spec: RunSpec,
        start: TrainingState,
        images_per_step: int,
        began: float | None = None,
    ) -> None:
        """Start the clock; ``began``: start as a ``time.perf_counter`` value; None: now."""
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
        """Return the seconds of this attempt, and of earlier attempts up to their checkpoint."""
        return self._elapsed_before_s + time.perf_counter() - self._started

    def training_begins(self) -> None:
        """Start the clock of the training steps."""
        self._training_started = time.perf_counter()
        self._evaluation_before_training_s = self._evaluation_s

    def evaluated(self, wall_s: float, next_s: float) -> None:
        """Add an evaluation of ``wall_s`` seconds; ``next_s``: expected time of the next one."""
        self._evaluation_s += wall_s
        self._per_evaluation_s = next_s

    def steps_taken(
        self, step: int, loss: float | None, optimizer: torch.optim.Optimizer
    ) -> StepsTaken:
        """Return the event after ``step`` updates, with a loss in nats."""
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
            dropout_rate=dropout_rate_at(self._spec, step - 1),
        )

    def _seconds_left(self, step: int, steps_per_s: float) -> float:
        spec = self._spec
        evaluating_s = evaluations_after(spec, step) * self._per_evaluation_s
        return (spec.steps - step) / steps_per_s + evaluating_s
