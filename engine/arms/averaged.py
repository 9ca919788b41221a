"""Weight averaging: one network with the mean of the weights over the run.

Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", arXiv
1803.05407; here over the whole run from early on, as in the comparison of arXiv 2403.00946.
"""

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
from engine.model.linear import is_frozen
from engine.protocol import RunSpec
from engine.rundir.phases import SILENT, Phases

BATCHNORM_IMAGES: Final = 1024
"""Maximum training images of each source for re-estimating BatchNorm statistics."""
COUNT: Final = "count"


class Averaged:
    """Sums the weights in float64 and takes the mean for each evaluation.

    Floating-point buffers are averaged like weights; others (BatchNorm's batch count) are the
    latest.
    """

    needs_logits = False

    def __init__(
        self, spec: RunSpec, data: RunData, network: FineTunedNetwork, execution: Execution,
        phases: Phases = SILENT,
    ) -> None:  # fmt: skip
        self._spec, self._data, self._execution = spec, data, execution
        self._phases = phases
        self._running = network.module
        self.network: FineTunedNetwork = copy.deepcopy(network)
        state = network.module.state_dict()
        self._averages = [
            name
            for name, each in state.items()
            if each.is_floating_point() and not is_frozen(network.module, name)
        ]
        exact = torch.float32 if execution.device.type == "mps" else torch.float64
        self._sums = [torch.zeros_like(state[name], dtype=exact) for name in self._averages]
        self._count = 0
        self._augmentation = validation_augmentation(spec, data)

    @torch.no_grad()
    def after_step(self, updates: int) -> None:
        """Add the weights at step ``average_from`` and every ``average_every`` steps after it."""
        since = updates - self._spec.average_from
        if since < 0 or since % self._spec.average_every:
            return
        state = self._running.state_dict()
        torch._foreach_add_(self._sums, [state[name] for name in self._averages])
        self._count += 1

    def after_selection(self) -> None:
        """Do nothing: the mean is of all steps."""

    def evaluate(self, step: int, evaluation: Evaluation) -> Evaluation | None:  # noqa: ARG002
        """Evaluate the mean of the weights; None before any were averaged.

        Validation images have the same augmentation as for the run's own network.
        """
        if not self._count:
            return None
        with self._phases.begin("averaging_weights"):
            self.network.module.load_state_dict(self._mean())
            # With linear tuning, the backbone and its statistics never change.
            if self._spec.average_batchnorm == "reestimate" and self._spec.tuning == "full":
                update_bn(self._training_images(), self.network.module)
        predictor = network_predictor(
            self.network, self._spec.eval_batch_size, self._execution, self._augmentation, step
        )
        return evaluate_domains(
            predictor, self._data, "averaged",
            is_augmented=self._spec.augment_validation, select_on=self._spec.select_on,
            phases=self._phases,
        )  # fmt: skip

    def tensors(self) -> Mapping[str, Tensor]:
        """Return the sums and the number of summed networks."""
        sums = dict(zip(self._averages, self._sums, strict=True))
        return {**sums, COUNT: torch.tensor(self._count)}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the sums."""
        self._count = int(tensors[COUNT])
        for name, total in zip(self._averages, self._sums, strict=True):
            total.copy_(tensors[name])

    def _mean(self) -> dict[str, Tensor]:
        state = dict(self._running.state_dict())
        for name, total in zip(self._averages, self._sums, strict=True):
            state[name] = total / self._count
        return state

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
