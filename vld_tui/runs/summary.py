"""Groups of runs, and the rows of the run table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from vld_tui.runs.run import Run
from vld_tui.runs.statistics import Estimate

CONFIGURATION: Final = "configuration"
"""The grouping of runs that differ only in their seeds."""
MOST_MEMBERS: Final = 200
Key = str | float | None


class Grouping(msgspec.Struct, frozen=True):
    """The common property of a group: a field's value, or everything except the seed.

    ``sql`` is an expression over a run's row.
    """

    name: str
    sql: str

    @property
    def is_by_configuration(self) -> bool:
        """Return whether runs of a group differ only in their seeds."""
        return self.name == CONFIGURATION


class RunSummary(msgspec.Struct, frozen=True):
    """Runs of one group.

    ``key`` is their common value; ``newest`` is the one created last, ``run_ids`` the latest ones,
    at most :data:`MOST_MEMBERS` of ``runs``. Accuracies (0 to 1) are at the selected step of each
    finished run; identical runs count as one. ``dataset`` and ``target`` are those of all runs;
    None: they differ.
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
    """A row of the run table: a run with its OOD accuracy at every evaluation."""

    run: Run
    ood_history: tuple[float, ...] = ()

    @property
    def run_ids(self) -> tuple[str, ...]:
        """Return the run's id."""
        return (self.run.run_id,)


@dataclass(frozen=True)
class GroupRow:
    """A row of the run table for several runs; ``name`` distinguishes it from others."""

    summary: RunSummary
    grouping: Grouping
    name: str

    @property
    def run_ids(self) -> tuple[str, ...]:
        """Return the ids of its runs, the latest first."""
        return self.summary.run_ids


TableRow = RunRow | GroupRow
