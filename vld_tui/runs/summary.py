"""Groups of runs, and the rows of the run table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from vld_tui.runs.run import Run
from vld_tui.runs.statistics import Estimate

CONFIGURATION: Final = "configuration"
"""The grouping of runs that differ in nothing but their seeds."""
MOST_MEMBERS: Final = 200
Key = str | float | None


class Grouping(msgspec.Struct, frozen=True):
    """What runs of one group have in common: a field's value, or all but their seeds.

    ``sql`` is an expression over a run's row.
    """

    name: str
    sql: str

    @property
    def is_by_configuration(self) -> bool:
        """Say whether runs of a group differ in nothing but their seeds."""
        return self.name == CONFIGURATION


class RunSummary(msgspec.Struct, frozen=True):
    """Runs of one group.

    ``key`` is what they have in common; ``newest`` is the one created last, ``run_ids`` the
    latest ones, at most :data:`MOST_MEMBERS` of the ``runs`` there are. Accuracies are shares at
    the selected step of each run that is finished; those of runs that are the same, seed and all,
    count as one. ``dataset`` and ``target`` are those of all runs; None: they differ in it.
    """

    key: Key
    newest: Run
    run_ids: tuple[str, ...]
    runs: int
    statuses: dict[str, int]
    id_accuracy: Estimate | None
    ood_accuracy: Estimate | None
    dataset: str | None = None
    target: str | None = None


@dataclass(frozen=True)
class RunRow:
    """A line of the run table: the run, and its OOD accuracy at every evaluation."""

    run: Run
    ood_history: tuple[float, ...] = ()

    @property
    def run_ids(self) -> tuple[str, ...]:
        """Return the run's id."""
        return (self.run.run_id,)


@dataclass(frozen=True)
class GroupRow:
    """A line of the run table that stands for several runs; ``name`` tells it from the others."""

    summary: RunSummary
    grouping: Grouping
    name: str

    @property
    def run_ids(self) -> tuple[str, ...]:
        """Return the ids of its runs, the latest first."""
        return self.summary.run_ids


TableRow = RunRow | GroupRow
