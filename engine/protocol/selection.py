"""Which evaluation of a run is selected: the best on ID validation, the earliest of equals.

``select_on`` of a run says by which measure. Engine and history use these functions, and words.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol, TypeVar

from engine.protocol.evaluated import BALANCED
from engine.protocol.events import AUGMENTED
from engine.protocol.measures import ACCURACY, JUDGED, MetricKey
from engine.protocol.spec import RunSpec


class Criterion(NamedTuple):
    """A measure that selects, on ID validation images; ``words`` and ``label`` name it."""

    metric: str
    words: str
    label: str


CRITERIA: Final = {
    "accuracy": Criterion(ACCURACY, "ID accuracy", "ID accuracy"),
    "balanced": Criterion(BALANCED, "ID balanced accuracy", "ID balanced"),
}
"""Every value of ``select_on``."""


class Scored(Protocol):
    """An evaluation. ``selection_score`` selects it; None: ``id_accuracy`` does."""

    @property
    def id_accuracy(self) -> float:
        """Return the mean accuracy over the sources."""

    @property
    def selection_score(self) -> float | None:
        """Return the value of another measure on the same images."""


S = TypeVar("S", bound=Scored)


def score_of(evaluation: Scored) -> float:
    """Return the value that selects an evaluation, 0 to 1."""
    score = evaluation.selection_score
    return evaluation.id_accuracy if score is None else score


def is_better(evaluation: Scored, best: Scored | None) -> bool:
    """Return whether an evaluation is selected instead of the best earlier one."""
    return best is None or score_of(evaluation) > score_of(best)


def best_of(evaluations: Iterable[S]) -> S | None:
    """Return the evaluation that is selected among several in order; None: there are none."""
    return max(evaluations, key=score_of, default=None)


def criterion_of(spec: RunSpec) -> Criterion:
    """Return what selects a run's step."""
    return CRITERIA[spec.select_on]


def unless_accuracy(spec: RunSpec) -> str:
    """Return " on" and what selects a run's step, or nothing for accuracy, as readers expect."""
    return "" if spec.select_on == "accuracy" else f" on {criterion_of(spec).label}"


def selection_key(spec: RunSpec, arm: str) -> MetricKey:
    """Return the key of the values that select an arm's step."""
    name = CRITERIA[spec.select_on].metric
    if name != ACCURACY and spec.augment_validation:  # as measures are on plain images
        return MetricKey(name, AUGMENTED, JUDGED, arm)
    return MetricKey.id(arm, name)
