"""Arms: additional predictors that are evaluated during a run, by name.

To add one, write a module with an :class:`Arm`, and add a line to ``ARMS`` here and one to
:mod:`engine.protocol.methods`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol

from torch import Tensor

from engine.arms.averaged import Averaged
from engine.arms.ensemble import Ensemble
from engine.arms.refined import Refined
from engine.arms.swad import Swad
from engine.data import RunData
from engine.evaluate import Evaluation
from engine.execution import Execution
from engine.model import FineTunedNetwork
from engine.model.tensor_file import under_prefix
from engine.protocol import FINAL_ARMS, RunSpec
from engine.rundir.phases import SILENT, Phases


class Arm(Protocol):
    """An additional predictor. It reads the run's network and never changes it."""

    needs_logits: bool
    """Whether it needs the logits of each evaluation of the run's own network."""

    @property
    def network(self) -> FineTunedNetwork | None:
        """Return the network that predicts, if one alone does.

        It is evaluated as the run's own is, and kept as a checkpoint of the arm's name.
        """

    def after_step(self, updates: int) -> None:
        """Observe the run's network after ``updates`` updates."""

    def after_selection(self) -> None:
        """Observe the run's network when it is the best on ID validation so far."""

    def evaluate(self, step: int, evaluation: Evaluation) -> Evaluation | None:
        """Evaluate after ``evaluation``, that of the run's own network after ``step`` updates.

        Returns None if there is nothing to evaluate yet.
        """

    def tensors(self) -> Mapping[str, Tensor]:
        """Return the state that a resumed run needs."""

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the state that :meth:`tensors` returned."""


ARMS: Final[
    Mapping[str, Callable[[RunSpec, RunData, FineTunedNetwork, Execution, Phases], Arm]]
] = {
    "averaged": Averaged,
    "swad": Swad,
    "ensemble": Ensemble,
    "refined": Refined,
}


class Arms:
    """The arms of one run, by name."""

    def __init__(
        self, spec: RunSpec, data: RunData, network: FineTunedNetwork, execution: Execution,
        phases: Phases = SILENT,
    ) -> None:  # fmt: skip
        self._arms: dict[str, Arm] = {}
        for name in spec.arms:
            self._arms[name] = ARMS[name](spec, data, network, execution, phases)

    def __iter__(self) -> Iterator[tuple[str, Arm]]:
        return iter(self._arms.items())

    @property
    def networks(self) -> int:
        """Return how many networks each evaluation includes in addition to the run's own."""
        return sum(
            arm.network is not None for name, arm in self._arms.items() if name not in FINAL_ARMS
        )

    @property
    def refined(self) -> Refined | None:
        """Return the arm whose last layer is refined after the last step, if the run has it."""
        arm = self._arms.get("refined")
        return arm if isinstance(arm, Refined) else None

    @property
    def need_logits(self) -> bool:
        """Return whether an arm needs the logits of each evaluation."""
        return any(arm.needs_logits for arm in self._arms.values())

    def after_step(self, updates: int) -> None:
        """Call :meth:`Arm.after_step` of each arm."""
        for arm in self._arms.values():
            arm.after_step(updates)

    def after_selection(self) -> None:
        """Call :meth:`Arm.after_selection` of each arm."""
        for arm in self._arms.values():
            arm.after_selection()

    def tensors(self) -> dict[str, Tensor]:
        """Return the state of all arms, keys prefixed with the arm's name."""
        return {
            f"{name}.{key}": tensor
            for name, arm in self._arms.items()
            for key, tensor in arm.tensors().items()
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the state that :meth:`tensors` returned."""
        for name, arm in self._arms.items():
            arm.restore(under_prefix(f"{name}.", tensors))
