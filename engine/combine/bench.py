"""The shared state and operations of all combination methods."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from torch import Tensor

from engine.combine.parents import ParentRun
from engine.data import DomainData, RunData, ValidationAugmentation
from engine.data.load import Indices
from engine.evaluate import (
    Evaluation,
    Predictor,
    StepPredictionsKeeper,
    counted,
    evaluate_domains,
    judge,
    keep_predictions,
    network_predictor,
    selection_score,
)
from engine.execution import Execution
from engine.machine.processor import peak_memory_bytes
from engine.model import FineTunedNetwork
from engine.protocol import (
    AUGMENTED,
    BarrierMeasured,
    Combination,
    Evaluated,
    RunFinished,
    RunSpec,
)
from engine.rundir import RunDir
from engine.rundir.event_log import EventLog
from engine.rundir.phases import Phases
from engine.stop_request import StopRequest
from engine.train.checkpoint import CheckpointFiles, Selected, TrainingState

BARRIER_ACCURACY: Final = 0.02
"""Drop in accuracy from the mean of the ends to the midpoint that counts as a barrier."""


@dataclass(frozen=True)
class Validation:
    """Accuracy (0 to 1) and loss (nats) on validation images, averaged over the sources.

    ``selection_score`` is the measure that selects among weights; None: accuracy does.
    """

    id_accuracy: float
    loss: float
    selection_score: float | None = None


@dataclass(frozen=True)
class Bench:
    """One attempt of a combination run; ``network`` is reused for all sets of weights."""

    spec: RunSpec
    combination: Combination
    parents: tuple[ParentRun, ...]
    data: RunData
    network: FineTunedNetwork
    execution: Execution
    run_dir: RunDir
    phases: Phases
    stop: StopRequest
    feature_rms: float
    augmentation: ValidationAugmentation | None
    began: float = field(default_factory=time.perf_counter)

    @property
    def log(self) -> EventLog:
        """Return the event log."""
        return self.phases.log

    @functools.cached_property
    def _step_predictions(self) -> StepPredictionsKeeper:
        return StepPredictionsKeeper(self.run_dir, self.data)

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of the network's current weights on the CPU."""
        state = self.network.module.state_dict()
        return {name: tensor.cpu().clone() for name, tensor in state.items()}

    def predictor(self, weights: Mapping[str, Tensor]) -> Predictor:
        """Return the predictor of these weights, valid until the next call.

        It raises :class:`StopRequested` between batches if a stop was requested.
        """
        self.network.module.load_state_dict(weights)
        predict = network_predictor(
            self.network, self.spec.eval_batch_size, self.execution, self.augmentation
        )

        def predictions(
            domain: DomainData, split: str, indices: Indices
        ) -> Iterator[tuple[Tensor, Tensor]]:
            for batch in predict(domain, split, indices):
                self.stop.raise_if_requested()
                yield batch

        return predictions

    def validate(self, weights: Mapping[str, Tensor]) -> Validation:
        """Evaluate weights on the sources' validation images only, augmented if the runs' are.

        The augmentation is the same for all weights, so that results are comparable.
        """
        predictor = self.predictor(weights)
        split = "out" if self.augmentation is None else AUGMENTED
        sources, results = self.data.sources, []
        images = sum(len(domain.out_indices) for domain in sources)
        with self.phases.begin("evaluating", images, detail=sources[0].name) as evaluating:
            for domain in sources:
                evaluating.at(domain.name)
                predictions = counted(predictor(domain, split, domain.out_indices), evaluating)
                results.append(judge(predictions, len(self.data.classes)))
        return Validation(
            sum(result.accuracy for result in results) / len(results),
            sum(result.loss for result in results) / len(results),
            selection_score(results, self.spec.select_on),
        )

    def evaluate(self, predictor: Predictor) -> Evaluation:
        """Evaluate predictions on every domain, as the run's own arm."""
        return self.evaluate_arm(predictor, self.combination.method)

    def evaluate_arm(self, predictor: Predictor, arm: str) -> Evaluation:
        """Evaluate predictions on every domain, as arm ``arm``."""
        return evaluate_domains(
            predictor, self.data, arm,
            is_augmented=self.augmentation is not None, select_on=self.spec.select_on,
            phases=self.phases,
        )  # fmt: skip

    def record(self, step: int, evaluation: Evaluation, began: float, *, is_best: bool) -> None:
        """Record an evaluation that began at ``time.perf_counter()`` value ``began``."""
        self.log.record(
            Evaluated(
                step=step,
                is_best=is_best,
                wall_s=time.perf_counter() - began,
                **evaluation.reported(),
            )
        )
        self._step_predictions.keep(step, evaluation.measured)

    def save(self, step: int, evaluation: Evaluation, weights: Mapping[str, Tensor]) -> None:
        """Save weights as the selected network, a plain timm one, unless no checkpoint is kept."""
        self.network.module.load_state_dict(weights)
        state = TrainingState(
            step=step,
            elapsed_s=self.elapsed_s,
            selected=Selected.of(step, evaluation),
            feature_rms=self.feature_rms,
            data_digest=self.data.digest,
            precision=self.execution.precision,
            memory_format=self.execution.memory_format,
            folds_inference=self.execution.folds_inference,
        )
        files = CheckpointFiles(self.spec, self.data, self.run_dir, self.phases)
        files.save_network("best", state, self.network)

    def finish(self, step: int, evaluation: Evaluation) -> RunFinished:
        """Save the selected predictions and return the terminal event."""
        keep_predictions(self.run_dir, step, evaluation.measured, self.data)
        return RunFinished(
            step=self.combination.steps,
            selected_step=step,
            id_accuracy=evaluation.id_accuracy,
            ood_accuracy=evaluation.ood_accuracy,
            wall_s=self.elapsed_s,
            peak_memory_bytes=peak_memory_bytes(),
            plain_id_accuracy=evaluation.plain_id_accuracy,
        )

    @property
    def elapsed_s(self) -> float:
        """Return the seconds since the attempt started."""
        return time.perf_counter() - self.began


def describe_barrier(
    first: str, second: str, *, ends: tuple[Validation, Validation], half_way: Validation
) -> BarrierMeasured:
    """Return the difference of loss and accuracy between the midpoint and the mean of the ends.

    A barrier shows that two networks are not in one basin. Frankle et al., "Linear Mode
    Connectivity and the Lottery Ticket Hypothesis", arXiv 1912.05671, measure it at the highest
    point of the path; here it is the midpoint, as is usual for fine-tuned networks.
    """
    mean_accuracy = (ends[0].id_accuracy + ends[1].id_accuracy) / 2
    loss_barrier = half_way.loss - (ends[0].loss + ends[1].loss) / 2
    accuracy_barrier = mean_accuracy - half_way.id_accuracy
    return BarrierMeasured(
        first=first,
        second=second,
        loss_barrier=loss_barrier if math.isfinite(loss_barrier) else None,
        accuracy_barrier=accuracy_barrier,
        is_barrier=accuracy_barrier > BARRIER_ACCURACY,
    )
