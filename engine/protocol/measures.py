"""What is measured of a network at each evaluation, and the key under which it is found.

A new measure is a line in :data:`MEASURES` and a function in ``engine/evaluate/measures.py``. It is
stored, listed, filtered, drawn and reported without further code. Which one selects a step:
:mod:`engine.protocol.selection`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

JUDGED: Final = ""
"""The domain of ID values (split ``out``) and OOD values (split ``in``): no folder's name."""
LOSS_SPLIT: Final = "train"
LOSS_DOMAIN: Final = "sources"
SYSTEM: Final = "system"
"""The split of values of the machine, see :mod:`engine.protocol.system`."""
ACCURACY: Final = "accuracy"
BALANCED: Final = "balanced_accuracy"
"""The measure that is shown wherever accuracy is."""


class MetricKey(NamedTuple):
    """What a value was measured on, by which arm, and what it is: see :class:`Metric`."""

    name: str
    split: str
    domain: str
    arm: str

    @classmethod
    def id(cls, arm: str, name: str = ACCURACY) -> MetricKey:
        """Return the key of an arm's ID value: the mean over the sources' ``out`` splits."""
        return cls(name, "out", JUDGED, arm)

    @classmethod
    def ood(cls, arm: str, name: str = ACCURACY) -> MetricKey:
        """Return the key of an arm's OOD value: that of the target's ``in`` split."""
        return cls(name, "in", JUDGED, arm)

    @classmethod
    def loss(cls, arm: str) -> MetricKey:
        """Return the key of the training loss."""
        return cls("loss", LOSS_SPLIT, LOSS_DOMAIN, arm)

    @property
    def is_judged(self) -> bool:
        """Return whether it is an ID or OOD value, not that of one domain."""
        return self.domain == JUDGED

    @property
    def is_system(self) -> bool:
        """Return whether it is a value of the machine, not of the network."""
        return self.split == SYSTEM

    @property
    def shown_domain(self) -> str:
        """Return the domain's name, or ``id`` or ``ood``."""
        if not self.is_judged:
            return self.domain
        return "ood" if self.split == "in" else "id"


class Measure(msgspec.Struct, frozen=True):
    """A number from 0 to 1, measured on each domain in addition to accuracy and loss.

    ``is_of_probabilities``: it depends on probabilities, not only on the predicted classes.
    """

    name: str
    label: str
    help: str
    higher_is_better: bool
    is_of_probabilities: bool = False


MEASURES: Final[dict[str, Measure]] = {
    measure.name: measure
    for measure in (
        Measure(
            BALANCED,
            "balanced",
            "Accuracy averaged over classes, so that frequent classes do not count more.",
            higher_is_better=True,
        ),
        Measure(
            "calibration_error",
            "ECE",
            "Expected calibration error: mean gap between confidence and accuracy, 15 bins.",
            higher_is_better=False,
            is_of_probabilities=True,
        ),
    )
}
"""Every measure by name, in the order in which they are shown."""

Summary = dict[str, tuple[float | None, float | None]]
"""ID and OOD value by the name of a measure; None: not finite, or there is no target."""


def value_in(summary: Summary, name: str, place: int) -> float | None:
    """Return the ID (``place`` 0) or OOD (1) value of a measure; None if unknown."""
    return summary.get(name, (None, None))[place]


def measures_in(summaries: Iterable[Summary]) -> list[str]:
    """Return the names of the measures of which there is a value, in display order."""
    known = {name for each in summaries for name, values in each.items() if values != (None, None)}
    return [name for name in MEASURES if name in known]
