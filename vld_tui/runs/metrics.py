"""Metrics, checkpoints and attempts of a run."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from typing import NamedTuple

import msgspec

from engine.protocol import MetricKey


class Points(NamedTuple):
    """A series: ascending steps with a value each; NaN: not finite."""

    steps: array[int]
    values: array[float]

    @classmethod
    def none(cls) -> Points:
        """Return an empty series."""
        return cls(array("q"), array("d"))

    def put(self, step: int, value: float | None) -> None:
        """Add a point at the end."""
        self.steps.append(step)
        self.values.append(math.nan if value is None else value)

    def at(self, index: int) -> float | None:
        """Return a value, or None if it is not finite."""
        value = self.values[index]
        return None if math.isnan(value) else value

    def index_of(self, step: int) -> int | None:
        """Return the index of a step, or None if it has no point."""
        index = bisect_left(self.steps, step)
        return index if index < len(self.steps) and self.steps[index] == step else None


class MetricPoint(msgspec.Struct, frozen=True):
    """One measured value, or None if it was not finite.

    In addition to the domains: ``id`` (split ``out``) and ``ood`` (split ``in``), the reported
    accuracies, and ``sources`` (split ``train``), the training loss.
    """

    step: int
    split: str
    domain: str
    arm: str
    name: str
    value: float | None


class CheckpointInfo(msgspec.Struct, frozen=True):
    """A checkpoint as it was last saved; ``file`` is relative to the run folder."""

    kind: str
    step: int
    file: str
    bytes: int


class Attempt(msgspec.Struct, frozen=True):
    """One attempt (process) of a run.

    ``outcome`` is ``finished``, ``stopped``, ``failed`` or ``crashed`` at ``step``, with the
    ``reason``; None while it is running.
    """

    attempt: int
    started_at: float
    resumed_step: int | None
    pid: int
    host: str
    versions: dict[str, str]
    commit: str | None
    ended_at: float | None
    outcome: str | None
    step: int | None
    reason: str | None


class MetricSeries(NamedTuple):
    """The points of one metric in order of steps."""

    key: MetricKey
    points: Points


class LastEvaluation(NamedTuple):
    """Accuracies at the last evaluation, from 0 to 1: ``ood_accuracy`` on the target's ``in``
    split, ``target_out_accuracy`` on its ``out`` split, which only the oracle uses."""

    step: int
    id_accuracy: float
    ood_accuracy: float
    target_out_accuracy: float
