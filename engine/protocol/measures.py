"""What is measured of a network, and the key under which it is found.

Measures of each evaluation: :mod:`engine.protocol.evaluated`; those of finished runs:
:mod:`engine.protocol.diagnostics`. Which one selects a step: :mod:`engine.protocol.selection`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from engine.protocol.diagnostics import DIAGNOSED
from engine.protocol.evaluated import EVALUATED, Measure

JUDGED: Final = ""
"""The domain of ID values (split ``out``) and OOD values (split ``in``): no folder's name."""
LOSS_SPLIT: Final = "train"
LOSS_DOMAIN: Final = "sources"
SYSTEM: Final = "system"
"""The split of values of the machine, see :mod:`engine.protocol.system`."""
ACCURACY: Final = "accuracy"


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


MEASURES: Final[dict[str, Measure]] = EVALUATED | DIAGNOSED
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
