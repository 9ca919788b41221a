"""SWAD: the mean of the weights at every step of the valley of the validation loss.

Cha et al., "SWAD: Domain Generalization by Seeking Flat Minima", arXiv 2102.08604. The valley is
found in :mod:`engine.arms.loss_valley`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from torch import Tensor

from engine.arms.loss_valley import LossValley, Segment
from engine.arms.network_copy import NetworkCopy
from engine.arms.weight_sum import WeightSum
from engine.data import RunData
from engine.evaluate import Evaluation
from engine.execution import Execution
from engine.model import FineTunedNetwork
from engine.model.tensor_file import under_prefix
from engine.protocol import Cautioned, RunSpec
from engine.rundir.phases import SILENT, Phases

SEGMENT: Final = "segment."
VALLEY: Final = "valley."

NOT_BEGUN: Final = (
    "The SWAD valley did not begin: ID validation loss was still falling. The arm swad averages "
    "only the last {steps} steps. Train longer, or evaluate more often (--eval-every)."
)


class Swad:
    """Sums weights in float64 between evaluations, and keeps the means of the valley.

    The result is one network, which exists after the last step; nothing is selected. Means of
    segments are stored on the CPU in the precision of the weights; their sum is in float64.
    """

    needs_logits = False

    def __init__(
        self, spec: RunSpec, data: RunData, network: FineTunedNetwork, execution: Execution,
        phases: Phases = SILENT,
    ) -> None:  # fmt: skip
        self._spec, self._phases = spec, phases
        self._sum = WeightSum(network.module)
        self._mean = NetworkCopy(spec, data, network, execution, phases)
        self.network: FineTunedNetwork = self._mean.network
        self._valley = LossValley(spec.swad_converge, spec.swad_tolerance, spec.swad_ratio)

    def after_step(self, updates: int) -> None:  # noqa: ARG002
        """Add the weights to the segment, unless the valley has ended."""
        if not self._valley.has_ended:
            self._sum.add()

    def after_selection(self) -> None:
        """Do nothing: the valley decides."""

    def evaluate(self, step: int, evaluation: Evaluation) -> Evaluation | None:
        """End a segment with the validation loss of ``evaluation``.

        After the last step, evaluate the mean over the valley; None before.
        """
        steps = self._sum.count
        if not self._valley.has_ended:
            self._valley.observe(Segment(evaluation.selection_loss, step, self._segment()))
            self._sum.clear()
        if step < self._spec.steps:
            return None
        if not self._valley.has_begun:
            self._phases.record(Cautioned(message=NOT_BEGUN.format(steps=steps)))
        with self._phases.begin("averaging_weights"):
            means = dict(zip(self._sum.names, self._valley.weights(), strict=True))
            # The authors' code estimates BatchNorm statistics again unless they are frozen.
            self._mean.load(means, reestimates_batchnorm=not self._spec.freeze_batchnorm)
        return self._mean.evaluate("swad", step)

    def tensors(self) -> Mapping[str, Tensor]:
        """Return the sums of the current segment, and the state of the valley."""
        parts = {SEGMENT: self._sum.tensors(), VALLEY: self._valley.tensors()}
        return {
            prefix + name: tensor for prefix, part in parts.items() for name, tensor in part.items()
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`tensors` returned."""
        self._sum.restore(under_prefix(SEGMENT, tensors))
        self._valley.restore(under_prefix(VALLEY, tensors), len(self._sum.names))

    def _segment(self) -> tuple[Tensor, ...]:
        state = self._sum.running.state_dict()
        return tuple(
            mean.to("cpu", state[name].dtype, copy=True) for name, mean in self._sum.means().items()
        )
