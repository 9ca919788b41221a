"""Studies at one moment, as the dashboard shows them: values that do not change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from vld_tui.runs.run import ArmResult
from vld_tui.study.standing import Standing


class TimeLeft(NamedTuple):
    """Seconds until nothing runs or waits, without ``unknown`` runs of which no earlier one
    tells."""

    seconds: float = 0.0
    unknown: int = 0


class Counts(NamedTuple):
    """How many runs of a study are in which state."""

    finished: int = 0
    live: int = 0
    queued: int = 0
    broken_off: int = 0
    missing: int = 0

    @classmethod
    def of(cls, standing: Standing) -> Counts:
        """Return the counts of where a study stands."""
        return cls(
            len(standing.finished),
            len(standing.live),
            len(standing.queued),
            len(standing.broken_off),
            len(standing.missing),
        )

    @property
    def runs(self) -> int:
        """Return how many runs the study has."""
        return sum(self)


NOTHING: Final = Counts()
NO_TIME: Final = TimeLeft()


@dataclass(frozen=True)
class StudyProgress:
    """How far a kept study is; ``problem``: why it cannot be read."""

    name: str
    title: str = ""
    counts: Counts = NOTHING
    left: TimeLeft = NO_TIME
    problem: str | None = None


@dataclass(frozen=True, eq=False)
class StudyState:
    """All that is known of one study; ``arms`` are what other arms of its finished runs reached.

    ``standing`` None: it cannot be read, and ``problem`` says why. ``is_on_cluster``: a launch
    submits it, as the last one did. The source hands out the same object while nothing happened,
    so that is what equal means.
    """

    name: str
    standing: Standing | None = None
    arms: Mapping[str, Sequence[ArmResult]] = field(default_factory=dict)
    left: TimeLeft = NO_TIME
    problem: str | None = None
    is_on_cluster: bool = False
