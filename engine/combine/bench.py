"""What every way of combining works with: data, network, and what it reports."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from torch import Tensor

from engine.combine.parents import ParentRun
from engine.data import DomainData, RunData, ValidationAugmentation
from engine.data.splits import Indices
from engine.evaluate import (
    Evaluation,
    Predictor,
    evaluate_domains,
    judge,
    keep_predictions,
    network_predictor,
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
from engine.stop_request import StopRequest
from engine.train.checkpoint import CheckpointFiles, Selected, TrainingState

BARRIER_ACCURACY: Final = 0.02
"""An accuracy half way that is lower than the mean of the ends by more than this is a barrier."""


@dataclass(frozen=True)
class Validation:
    """Accuracy (0 to 1) and loss (nats) on the sources' validation images: means over sources."""

    accuracy: float
    loss: float


@dataclass(frozen=True)
class Bench:
    """The tools of one attempt at combining; ``network`` takes whatever weights it is given."""

    spec: RunSpec
    combination: Combination
    parents: tuple[ParentRun, ...]
    data: RunData
    network: FineTunedNetwork
    execution: Execution
    run_dir: RunDir
    log: EventLog
    stop: StopRequest
    feature_rms: float
    augmentation: ValidationAugmentation | None
    began: float = field(default_factory=time.perf_counter)

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of the network's weights as they are now, on the processor."""
        state = self.network.module.state_dict()
        return {name: tensor.cpu().clone() for name, tensor in state.items()}

    def predictor(self, weights: Mapping[str, Tensor]) -> Predictor:
        """Return what these weights predict, until the next ones are asked for.

        Its batches raise :class:`StopRequested` when a stop was asked for.
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
        """Evaluate weights on the sources' validation images alone, augmented if the runs' are.

        All weights see the same draws, so that they can be compared.
        """
        predictor = self.predictor(weights)
        split = "out" if self.augmentation is None else AUGMENTED
        results = [
            judge(predictor(domain, split, domain.out_indices), len(self.data.classes))
            for domain in self.data.sources
        ]
        return Validation(
            sum(result.accuracy for result in results) / len(results),
            sum(result.loss for result in results) / len(results),
        )

    def evaluate(self, predictor: Predictor) -> Evaluation:
        """Evaluate predictions on every domain, as those of the run's own arm."""
        return self.evaluate_arm(predictor, self.combination.method)

    def evaluate_arm(self, predictor: Predictor, arm: str) -> Evaluation:
        """Evaluate predictions on every domain, as those of an arm."""
        return evaluate_domains(
            predictor, self.data, arm, is_augmented=self.augmentation is not None
        )

    def tell(self, step: int, evaluation: Evaluation, began: float, *, is_best: bool) -> None:
        """Record an evaluation that began at this ``time.perf_counter()``."""
        self.log.record(
            Evaluated(
                step=step,
                is_best=is_best,
                wall_s=time.perf_counter() - began,
                **evaluation.reported(),
            )
        )

    def save(self, step: int, evaluation: Evaluation, weights: Mapping[str, Tensor]) -> None:
        """Save weights as the selected network, an ordinary timm one, if any is to be left."""
        self.network.module.load_state_dict(weights)
        state = TrainingState(
            step=step,
            elapsed_s=self.elapsed_s,
            selected=Selected.of(step, evaluation),
            feature_rms=self.feature_rms,
            data_digest=self.data.digest,
            precision=self.execution.precision,
            memory_format=self.execution.memory_format,
        )
        files = CheckpointFiles(self.spec, self.data, self.run_dir, self.log)
        files.save_network("best", state, self.network)

    def finish(self, step: int, evaluation: Evaluation) -> RunFinished:
        """Keep what the selected predictions were, and return the event that closes the run."""
        keep_predictions(self.run_dir, step, evaluation.measured, self.data.classes)
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
        """Return the seconds since the attempt began."""
        return time.perf_counter() - self.began


def describe_barrier(
    first: str, second: str, *, ends: tuple[Validation, Validation], half_way: Validation
) -> BarrierMeasured:
    """Return how far loss and accuracy half way are from the straight line between the ends.

    It tells whether two networks lie in one basin. Frankle et al., "Linear Mode Connectivity and
    the Lottery Ticket Hypothesis", arXiv 1912.05671: the error barrier, there the highest point of
    the path; here, as usual for fine-tuned networks, the point half way.
    """
    mean_accuracy = (ends[0].accuracy + ends[1].accuracy) / 2
    loss_barrier = half_way.loss - (ends[0].loss + ends[1].loss) / 2
    accuracy_barrier = mean_accuracy - half_way.accuracy
    return BarrierMeasured(
        first=first,
        second=second,
        loss_barrier=loss_barrier if math.isfinite(loss_barrier) else None,
        accuracy_barrier=accuracy_barrier,
        is_barrier=accuracy_barrier > BARRIER_ACCURACY,
    )
