"""What happens at an evaluation: measure, select, save, and say so."""

from __future__ import annotations

import math
import time

import msgspec
from torch import Tensor

from engine.arms import Arm
from engine.data import RunData, validation_augmentation
from engine.errors import TrainingError
from engine.evaluate import (
    Evaluation,
    class_entropy,
    evaluate_domains,
    keep_predictions,
    network_predictor,
)
from engine.machine.allocator import release_freed_memory
from engine.machine.processor import peak_memory_bytes
from engine.model import FineTunedNetwork
from engine.protocol import (
    ArmEvaluated,
    CheckpointSaved,
    CollapseDetected,
    Evaluated,
    RunFinished,
    RunSpec,
    own_arm,
)
from engine.rundir import RunDir
from engine.rundir.event_log import EventLog
from engine.train.checkpoint import (
    Selected,
    TrainingState,
    card_of,
    save_last,
    save_network,
)
from engine.train.collapse import has_learned, judge_collapse
from engine.train.divergence import ADVICE, are_finite, bad_loss, bad_weights
from engine.train.losses import LossMeter
from engine.train.pace import Pace
from engine.train.setup import Training

COLLAPSE_ADVICE = (
    "Try a lower --lr (a third), more --masks, more --head-steps, or a lower --dropout."
)


class Milestones:
    """The evaluations and checkpoints of one attempt at a run; no checkpoint is unsound.

    All ranks evaluate, and so choose alike; the first writes.
    """

    def __init__(
        self, spec: RunSpec, data: RunData, training: Training, run_dir: RunDir, log: EventLog,
        began: float | None = None,
    ) -> None:  # fmt: skip
        self._spec = spec
        self._data = data
        self._training = training
        self._run_dir = run_dir
        self._log = log
        self._writes = training.execution.ranks.is_first
        self._augmentation = validation_augmentation(spec, data)
        self._class_entropy = class_entropy(data)
        self._kept_step = training.start.step if run_dir.last_checkpoint.exists() else None
        images_per_step = spec.batch_size * len(data.sources)
        self.pace = Pace(spec, training.start, images_per_step, began)

    def check(self, losses: LossMeter, updates: int) -> None:
        """Look at the losses not yet read, after so many updates.

        Raises:
            TrainingError: when one is no finite number; the checkpoint before it is kept.
        """
        bad = losses.find_bad()
        if bad is not None:
            step = updates - bad.steps_ago
            raise bad_loss(bad, step, self._data.image_set, self._kept_step)

    def evaluate(self, state: TrainingState) -> TrainingState:
        """Evaluate after ``state.step`` updates, select on ID validation, save checkpoints.

        Raises:
            TrainingError: when the network has diverged; the checkpoint before it is kept.

        Returns:
            The state with the selected step brought up to date.
        """
        self._check_weights(state.step)
        started = time.perf_counter()
        release_freed_memory()
        evaluation = self._measure(state.step)
        release_freed_memory()
        wall_s = time.perf_counter() - started
        if not math.isfinite(evaluation.id_loss):
            raise TrainingError(
                f"The network gives no numbers any more at step {state.step}: its validation loss "
                f"is not finite. {ADVICE}",
                state.step,
            )
        best = state.selected
        is_best = best is None or evaluation.id_accuracy > best.id_accuracy
        if is_best:
            best = Selected.of(state.step, evaluation)
        state = msgspec.structs.replace(state, selected=best)
        state = self._report(state, evaluation, is_best=is_best, wall_s=wall_s)
        if is_best:
            self._save_network(state, "best", self._training.network)
        if state.step > 0:
            for name, arm in self._training.arms:
                state = self._evaluate_arm(state, name, arm, evaluation)
        took_s = time.perf_counter() - started
        # Before the first step there are no arms, whose networks are evaluated as the run's is.
        next_s = took_s * (1 + self._training.arms.networks if state.step == 0 else 1)
        self.pace.evaluated(took_s, next_s)
        state = msgspec.structs.replace(state, evaluation_s=next_s)
        if (
            is_best and self._writes
        ):  # before the checkpoint, or a death in between would leave those before
            keep_predictions(self._run_dir, state.step, evaluation.measured, self._data.classes)
        return self._save_last(state)

    def _measure(self, step: int) -> Evaluation:
        """Evaluate the run's own network after so many updates."""
        training = self._training
        predictor = network_predictor(
            training.network,
            self._spec.eval_batch_size,
            training.execution,
            self._augmentation,
            step,
        )
        return evaluate_domains(
            predictor,
            self._data,
            own_arm(self._spec),
            keeps_logits=training.arms.need_logits,
            is_augmented=self._spec.augment_validation,
        )

    def _report(
        self, state: TrainingState, evaluation: Evaluation, *, is_best: bool, wall_s: float
    ) -> TrainingState:
        """Record an evaluation, and a collapse that it is the first to show."""
        collapsed = judge_collapse(
            self._spec, state.step, evaluation, self._class_entropy, learned=state.has_learned
        )
        self._log.record(
            Evaluated(
                step=state.step,
                metrics=evaluation.metrics,
                id_accuracy=evaluation.id_accuracy,
                ood_accuracy=evaluation.ood_accuracy,
                is_best=is_best,
                wall_s=wall_s,
                collapsed=collapsed,
                plain_id_accuracy=evaluation.plain_id_accuracy,
            )
        )
        if collapsed and not state.collapsed:
            self._log.record(self._collapse(state.step, evaluation))
        return msgspec.structs.replace(
            state,
            collapsed=state.collapsed if collapsed is None else collapsed,
            has_learned=state.has_learned or has_learned(evaluation, self._class_entropy),
        )

    def save_last(self, state: TrainingState) -> TrainingState:
        """Save what a resumed run needs, and return the state as saved.

        Raises:
            TrainingError: when the weights are no longer finite; what was saved before is kept.
        """
        self._check_weights(state.step)
        return self._save_last(state)

    def _save_last(self, state: TrainingState) -> TrainingState:
        training = self._training
        state = msgspec.structs.replace(
            state, elapsed_s=self.pace.elapsed_s, scaler=training.scaler.state_dict()
        )
        if not self._writes:
            return state
        # A run that went on from a checkpoint would not tell again what came before it.
        self._log.sync()
        path = self._run_dir.last_checkpoint
        size = save_last(
            path, state, training.network.module, training.optimizer, training.generators,
            training.beside_the_network(),
            card_of(training.network, self._spec, self._data, self._run_dir),
        )  # fmt: skip
        self._saved(state.step, "last", size)
        self._kept_step = state.step
        return state

    def finish(self, state: TrainingState) -> RunFinished:
        """Return the event that closes a run whose steps are all done."""
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

    def _check_weights(self, step: int) -> None:
        """Refuse weights and momentum that no later step could mend.

        Raises:
            TrainingError: when some are not finite.
        """
        training = self._training
        of_optimizer = [
            value
            for parameter, values in training.optimizer.state.items()
            for value in values.values()
            if isinstance(value, Tensor) and value.device == parameter.device
        ]
        if not are_finite([*training.network.module.parameters(), *of_optimizer]):
            drawn = training.batches.drawn
            raise bad_weights(step, drawn, self._data.image_set, self._kept_step)

    def _evaluate_arm(
        self, state: TrainingState, name: str, arm: Arm, evaluation: Evaluation
    ) -> TrainingState:
        """Evaluate another way of predicting; return the state with its selected step."""
        started = time.perf_counter()
        found = arm.evaluate(state.step, evaluation)
        release_freed_memory()
        if found is None:
            return state
        best = state.selected_of_arms.get(name)
        is_best = best is None or found.id_accuracy > best.id_accuracy
        self._log.record(
            ArmEvaluated(
                step=state.step,
                arm=name,
                metrics=found.metrics,
                id_accuracy=found.id_accuracy,
                ood_accuracy=found.ood_accuracy,
                is_best=is_best,
                wall_s=time.perf_counter() - started,
                plain_id_accuracy=found.plain_id_accuracy,
            )
        )
        if not is_best:
            return state
        selected = Selected.of(state.step, found)
        state = msgspec.structs.replace(
            state, selected_of_arms={**state.selected_of_arms, name: selected}
        )
        if arm.network is not None:
            self._save_network(state, name, arm.network)
        return state

    def _save_network(self, state: TrainingState, kind: str, network: FineTunedNetwork) -> None:
        """Save a network alone, ``best`` or an arm's, unless the run is to leave none."""
        if not self._writes or self._spec.keep_checkpoints == "none":
            return
        path = self._run_dir.checkpoints / f"{kind}.safetensors"
        card = card_of(network, self._spec, self._data, self._run_dir)
        self._saved(state.step, kind, save_network(path, state, network.module, card))

    def _saved(self, step: int, kind: str, size: int) -> None:
        file = f"checkpoints/{kind}.safetensors"
        self._log.record(CheckpointSaved(step=step, kind=kind, file=file, bytes=size))

    def _collapse(self, step: int, evaluation: Evaluation) -> CollapseDetected:
        return CollapseDetected(
            step=step,
            predicted_class=self._data.classes[evaluation.dominant_class],
            share=evaluation.dominant_share,
            loss=evaluation.id_loss,
            class_entropy=self._class_entropy,
            advice=COLLAPSE_ADVICE,
        )
