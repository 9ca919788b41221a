"""Weight averaging: one network with the mean of the weights over the run.

Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", arXiv
1803.05407; here over the whole run from early on, as in the comparison of arXiv 2403.00946.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from engine.arms.network_copy import NetworkCopy
from engine.arms.weight_sum import WeightSum
from engine.data import RunData
from engine.evaluate import Evaluation
from engine.execution import Execution
from engine.model import FineTunedNetwork
from engine.protocol import RunSpec
from engine.rundir.phases import SILENT, Phases


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
        self._spec, self._phases = spec, phases
        self._sum = WeightSum(network.module)
        self._mean = NetworkCopy(spec, data, network, execution, phases)
        self.network: FineTunedNetwork = self._mean.network

    def after_step(self, updates: int) -> None:
        """Add the weights at step ``average_from`` and every ``average_every`` steps after it."""
        since = updates - self._spec.average_from
        if since < 0 or since % self._spec.average_every:
            return
        self._sum.add()

    def after_selection(self) -> None:
        """Do nothing: the mean is of all steps."""

    def evaluate(self, step: int, evaluation: Evaluation) -> Evaluation | None:  # noqa: ARG002
        """Evaluate the mean of the weights; None before any were averaged."""
        if not self._sum.count:
            return None
        with self._phases.begin("averaging_weights"):
            self._mean.load(
                self._sum.means(),
                reestimates_batchnorm=self._spec.average_batchnorm == "reestimate",
            )
        return self._mean.evaluate("averaged", step)

    def tensors(self) -> Mapping[str, Tensor]:
        """Return the sums and the number of summed networks."""
        return self._sum.tensors()

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the sums."""
        self._sum.restore(tensors)
