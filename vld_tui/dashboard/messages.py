"""Messages between parts of the dashboard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

from vld_tui.dashboard.feed import Interest, Snapshot
from vld_tui.runs.run import GroupRow, Run, TableRow

if TYPE_CHECKING:  # not needed for the first frame
    from vld_tui.dashboard.use.diagnosing import DiagnosingProgress


@dataclass
class SnapshotTaken(Message, bubble=False):
    """The worker has read the history; a newer one replaces one that is not handled yet."""

    snapshot: Snapshot

    def can_replace(self, message: Message) -> bool:
        """Return whether this replaces another message."""
        return isinstance(message, SnapshotTaken)


@dataclass
class PageNeeded(Message):
    """The run table shows rows that it has not loaded."""

    offset: int
    limit: int


@dataclass
class RowHighlighted(Message):
    """The cursor of the run table moved to another row, or to none."""

    row: TableRow | None


@dataclass
class GroupOpened(Message):
    """The user opened a group."""

    row: GroupRow


@dataclass
class SortAsked(Message):
    """The user sorted by a field; a second time: in reverse."""

    field: str


@dataclass
class RunChosen(Message):
    """The user pointed at a run, such as in the ID–OOD plane."""

    run_id: str


@dataclass
class RunOpened(Message):
    """The user opened a run at one of its panes."""

    run_id: str
    pane: str = "curves"


@dataclass
class RunsChosen(Message):
    """The user wants only some runs listed, under a name."""

    name: str
    run_ids: tuple[str, ...]


@dataclass
class StudyOpened(Message):
    """The user opened a study."""

    name: str


@dataclass
class UseAsked(Message):
    """The user wants to use a trained run."""

    run: Run


@dataclass
class DiagnoseAsked(Message):
    """The user wants to compute diagnostics of runs, or to cancel that.

    ``which`` names the runs.
    """

    run_ids: tuple[str, ...]
    which: str
    has_target: bool = True


@dataclass
class DiagnosingReported(Message):
    """Diagnostics made progress in the background, or ended: then it is None."""

    progress: DiagnosingProgress | None


@dataclass
class MistakesAsked(Message):
    """The user wants to compare the mistakes of two runs."""

    first: str
    second: str


@dataclass
class StepAsked(Message):
    """The user wants the predictions of another evaluation.

    It is that ``by`` evaluations later, the one nearest to step ``near``, or the selected one.
    """

    by: int = 0
    near: float | None = None


@dataclass
class ActionAsked(Message):
    """An action was requested; it may block, and returns a sentence about its result."""

    action: Callable[[], str]


@dataclass
class MarksChanged(Message):
    """The marked runs changed."""

    run_ids: tuple[str, ...]


class ColumnsLaidOut(Message):
    """The list of runs has another width, and perhaps other columns."""


@dataclass
class TimesNeeded(Message):
    """The times of the steps of shown runs are needed."""


@dataclass
class InterestChanged(Message):
    """The user looks at something else."""

    interest: Interest


@dataclass
class OtherRunNamed(Message):
    """The user named a run to compare the opened one with; None: no run."""

    reference: str | None


class PreferencesChanged(Message):
    """The user changed preferences: fields of ``Preferences``."""

    def __init__(self, **changes: object) -> None:
        super().__init__()
        self.changes = changes
