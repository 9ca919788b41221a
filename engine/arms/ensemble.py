"""The ensemble of a run's own networks: the mean of their logits at all evaluations so far.

It uses the evaluations from step ``average_from``, as the paper's authors do. It reuses the logits
of these evaluations, so it needs no forward passes. If validation images are augmented, each
evaluation draws its own augmentation, and the ensemble averages over these too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import torch
from torch import Tensor

from engine.data import DomainData, RunData
from engine.data.load import Indices
from engine.evaluate import Evaluation, evaluate_domains
from engine.execution import Execution
from engine.model import FineTunedNetwork
from engine.protocol import RunSpec
from engine.rundir.phases import Phases

COUNT: Final = "count"


class Ensemble:
    """Sums of logits in float64, (n, C) for each split of each domain that is evaluated."""

    network = None
    needs_logits = True

    def __init__(
        self,
        spec: RunSpec,
        data: RunData,
        _network: FineTunedNetwork | None = None,
        _execution: Execution | None = None,
        _phases: Phases | None = None,
    ) -> None:
        self._spec, self._data = spec, data
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def after_step(self, updates: int) -> None:
        """Do nothing: only evaluations matter."""

    def after_selection(self) -> None:
        """Do nothing: the mean is of all evaluations."""

    def evaluate(self, step: int, evaluation: Evaluation) -> Evaluation | None:
        """Add the logits of an evaluation and evaluate the mean; None before ``average_from``."""
        if step < self._spec.average_from:
            return None
        self._count += 1
        for each in (*evaluation.measured, *evaluation.augmented):
            if each.result.logits is None:
                raise AssertionError("an ensemble needs the logits of every evaluation")
            key, logits = _key(each.domain, each.split), each.result.logits.double()
            self._sums[key] = self._sums[key] + logits if key in self._sums else logits
        return evaluate_domains(
            self._predict, self._data, "ensemble",
            is_augmented=self._spec.augment_validation, select_on=self._spec.select_on,
        )  # fmt: skip

    def tensors(self) -> Mapping[str, Tensor]:
        """Return the sums and the number of summed evaluations."""
        return {**self._sums, COUNT: torch.tensor(self._count)}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the sums."""
        self._sums = {key: tensor for key, tensor in tensors.items() if key != COUNT}
        self._count = int(tensors[COUNT])

    def _predict(
        self, domain: DomainData, split: str, indices: Indices
    ) -> Iterable[tuple[Tensor, Tensor]]:
        mean = self._sums[_key(domain, split)] / self._count
        yield mean, domain.labels[torch.from_numpy(indices)]


def _key(domain: DomainData, split: str) -> str:
    return f"{split}.{domain.name}"
