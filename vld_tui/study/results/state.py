"""Immutable snapshots of studies for the dashboard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from vld_tui.study.results.outcomes import Outcome
from vld_tui.study.standing import Standing


class TimeLeft(NamedTuple):
    """Seconds until everything is done, excluding ``unknown`` runs without a forecast."""

    seconds: float = 0.0
    unknown: int = 0


class Counts(NamedTuple):
    """The number of a study's runs in each state."""

    finished: int = 0
    live: int = 0
    queued: int = 0
    broken_off: int = 0
    missing: int = 0

    @classmethod
    def of(cls, standing: Standing) -> Counts:
        """Return the counts of a standing."""
        return cls(
            len(standing.finished),
            len(standing.live),
            len(standing.queued),
            len(standing.broken_off),
            len(standing.missing),
        )

    @property
    def runs(self) -> int:
        """Return the number of the study's runs."""
        return sum(self)


NOTHING: Final = Counts()
NO_TIME: Final = TimeLeft()


@dataclass(frozen=True)
class StudyProgress:
    """The progress of a saved study; ``problem``: why it cannot be read."""

    name: str
    title: str = ""
    counts: Counts = NOTHING
    left: TimeLeft = NO_TIME
    problem: str | None = None


@dataclass(frozen=True, eq=False)
class StudyState:
    """The full state of one study; ``results`` are the outcomes of every arm of its finished runs.

    ``standing`` None: it cannot be read, because of ``problem``. ``is_on_cluster``: a launch
    submits it, as last time. The source returns the same object while nothing changes, so states
    are compared by identity.
    """

    name: str
    standing: Standing | None = None
    results: tuple[Outcome, ...] = ()
    left: TimeLeft = NO_TIME
    problem: str | None = None
    is_on_cluster: bool = False
