"""A copy of the run's network with other weights, evaluated like the run's own."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Final

import torch
from torch import Tensor
from torch.optim.swa_utils import update_bn

from engine.data import RunData, evaluation_batches, validation_augmentation
from engine.evaluate import Evaluation, evaluate_domains, network_predictor
from engine.execution import Execution
from engine.model import FineTunedNetwork
from engine.protocol import RunSpec
from engine.rundir.phases import Phases

BATCHNORM_IMAGES: Final = 1024
"""Maximum training images of each source for re-estimating BatchNorm statistics."""


class NetworkCopy:
    """A copy of a run's network that is given weights of its own, such as mean weights.

    Attributes:
        network: the copy.
    """

    def __init__(
        self, spec: RunSpec, data: RunData, running: FineTunedNetwork, execution: Execution,
        phases: Phases,
    ) -> None:  # fmt: skip
        self._spec, self._data, self._execution = spec, data, execution
        self._phases = phases
        self._running = running.module
        self.network: FineTunedNetwork = copy.deepcopy(running)
        self._augmentation = validation_augmentation(spec, data)

    def load(self, weights: Mapping[str, Tensor], *, reestimates_batchnorm: bool = False) -> None:
        """Take these weights; those that are missing are the run's own, as they are now."""
        self.network.module.load_state_dict({**self._running.state_dict(), **weights})
        # With linear tuning, the backbone and its statistics never change.
        if reestimates_batchnorm and self._spec.tuning == "full":
            update_bn(self._training_images(), self.network.module)

    def evaluate(self, arm: str, step: int) -> Evaluation:
        """Evaluate as arm ``arm`` after ``step`` updates.

        Validation images have the same augmentation as for the run's own network.
        """
        predictor = network_predictor(
            self.network, self._spec.eval_batch_size, self._execution, self._augmentation, step
        )
        return evaluate_domains(
            predictor, self._data, arm,
            is_augmented=self._spec.augment_validation, select_on=self._spec.select_on,
            phases=self._phases,
        )  # fmt: skip

    def _training_images(self) -> Iterator[Tensor]:
        """Yield batches with equally many images of every source, as in training."""
        sources = self._data.sources
        of_each = max(1, self._spec.eval_batch_size // len(sources))
        streams = [
            evaluation_batches(
                domain, domain.in_indices[:BATCHNORM_IMAGES], of_each,
                self.network.mean, self.network.std, self._execution.device,
            )
            for domain in sources
        ]  # fmt: skip
        whole = 0
        for parts in zip(*streams, strict=False):
            images = torch.cat([images for images, _ in parts])
            whole = whole or len(images)
            if len(images) == whole:  # a short last batch would be weighted like a full one
                yield self._execution.lay_out(images)
