"""Predictors that are evaluated along a run besides its own network, by name.

To add one: write a module with an :class:`Arm`, and give it a line in ``ARMS`` here and one in
:mod:`engine.protocol.methods`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol

from torch import Tensor

from engine.arms.averaged import Averaged
from engine.arms.ensemble import Ensemble
from engine.data import RunData
from engine.evaluate import Evaluation
from engine.execution import Execution
from engine.model import FineTunedNetwork
from engine.protocol import RunSpec


class Arm(Protocol):
    """A way of predicting. It sees the run's network, and never changes it."""

    needs_logits: bool
    """Whether it needs the logits of each evaluation of the run's own network."""

    @property
    def network(self) -> FineTunedNetwork | None:
        """Return the network that predicts, if one alone does.

        It is evaluated as the run's own is, and kept as a checkpoint of the arm's name.
        """

    def after_step(self, updates: int) -> None:
        """Look at the run's network after so many updates."""

    def evaluate(self, step: int, evaluation: Evaluation) -> Evaluation | None:
        """Evaluate at the end of an evaluation of the run's own network after ``step`` updates.

        None: there is nothing to evaluate yet.
        """

    def tensors(self) -> Mapping[str, Tensor]:
        """Return all that a resumed run needs to go on with."""

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`tensors` returned."""


ARMS: Final[Mapping[str, Callable[[RunSpec, RunData, FineTunedNetwork, Execution], Arm]]] = {
    "averaged": Averaged,
    "ensemble": Ensemble,
}


class Arms:
    """The arms of one run, by name."""

    def __init__(
        self, spec: RunSpec, data: RunData, network: FineTunedNetwork, execution: Execution
    ) -> None:
        self._arms: dict[str, Arm] = {}
        for name in spec.arms:
            self._arms[name] = ARMS[name](spec, data, network, execution)

    def __iter__(self) -> Iterator[tuple[str, Arm]]:
        return iter(self._arms.items())

    @property
    def networks(self) -> int:
        """Return how many networks are evaluated beside the run's own."""
        return sum(arm.network is not None for arm in self._arms.values())

    @property
    def need_logits(self) -> bool:
        """Say whether an arm needs the logits of each evaluation."""
        return any(arm.needs_logits for arm in self._arms.values())

    def after_step(self, updates: int) -> None:
        """Let each arm look at the network after so many updates."""
        for arm in self._arms.values():
            arm.after_step(updates)

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors of all arms, under their names."""
        return {
            f"{name}.{key}": tensor
            for name, arm in self._arms.items()
            for key, tensor in arm.tensors().items()
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`tensors` returned."""
        for name, arm in self._arms.items():
            prefix = f"{name}."
            arm.restore(
                {
                    key.removeprefix(prefix): tensor
                    for key, tensor in tensors.items()
                    if key.startswith(prefix)
                }
            )
