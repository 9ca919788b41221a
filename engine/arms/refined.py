"""Refinement: the selected step's network, its last layer trained further on some of the images.

After Shi et al., ReFine, github.com/JimengShi/ReFine, who train on all data and then fine-tune the
last layers on rare samples. :mod:`engine.train.refine` trains the layer; the arm holds the network.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from engine.arms.network_copy import NetworkCopy
from engine.data import RunData
from engine.evaluate import Evaluation
from engine.execution import Execution
from engine.model import FineTunedNetwork
from engine.model.linear import is_frozen
from engine.protocol import RunSpec
from engine.rundir.phases import SILENT, Phases


class Refined:
    """Copies the run's network whenever it is selected; evaluated once, after its refinement."""

    needs_logits = False

    def __init__(
        self, spec: RunSpec, data: RunData, network: FineTunedNetwork, execution: Execution,
        phases: Phases = SILENT,
    ) -> None:  # fmt: skip
        self._selected = NetworkCopy(spec, data, network, execution, phases)
        self.network: FineTunedNetwork = self._selected.network

    def after_step(self, updates: int) -> None:
        """Do nothing: only selected steps matter."""

    def after_selection(self) -> None:
        """Copy the run's network."""
        self._selected.load({})

    def evaluate(self, step: int, evaluation: Evaluation) -> None:
        """Return None: nothing is refined before the last step."""

    def evaluate_refined(self, step: int) -> Evaluation:
        """Evaluate the refined network after the run's last step."""
        return self._selected.evaluate("refined", step)

    def tensors(self) -> Mapping[str, Tensor]:
        """Return the tensors of the selected network that training changes."""
        module = self.network.module
        state = module.state_dict().items()
        return {name: tensor for name, tensor in state if not is_frozen(module, name)}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the selected network; the run's network is restored already."""
        self._selected.load(tensors)
