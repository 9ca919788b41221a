"""What parts of the dashboard tell one another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from textual.message import Message

from vld_tui.dashboard.feed import Interest, Snapshot
from vld_tui.runs.run import GroupRow, TableRow


@dataclass
class SnapshotTaken(Message, bubble=False):
    """The worker has read history; a newer one replaces an older one that nobody saw yet."""

    snapshot: Snapshot

    def can_replace(self, message: Message) -> bool:
        """Say that this makes an older snapshot needless."""
        return isinstance(message, SnapshotTaken)


@dataclass
class PageNeeded(Message):
    """The run table has come to rows it does not have."""

    offset: int
    limit: int


@dataclass
class RowHighlighted(Message):
    """The cursor of the run table stands on another row, or on none."""

    row: TableRow | None


@dataclass
class GroupOpened(Message):
    """A person wants to see the runs of a group."""

    row: GroupRow


@dataclass
class SortAsked(Message):
    """A person wants the rows in the order of a field; again: the other way round."""

    field: str


@dataclass
class RunChosen(Message):
    """A person points at a run, such as in the ID–OOD plane."""

    run_id: str


@dataclass
class RunOpened(Message):
    """A person wants to see all of a run, one of its panes first."""

    run_id: str
    pane: str = "curves"


@dataclass
class RunsChosen(Message):
    """A person wants to see several runs on the list; ``name`` says what they have in common."""

    name: str
    run_ids: tuple[str, ...]


@dataclass
class StudyOpened(Message):
    """A person wants to see all of a study."""

    name: str


@dataclass
class ActionAsked(Message):
    """Something is to be done to runs; it may block, and returns what was done, in words."""

    action: Callable[[], str]


@dataclass
class MarksChanged(Message):
    """Other runs are marked than before."""

    run_ids: tuple[str, ...]


@dataclass
class InterestChanged(Message):
    """A person looks at something else."""

    interest: Interest


@dataclass
class OtherRunNamed(Message):
    """A run was named that the opened one is to be compared with; None: with none."""

    reference: str | None


class PreferencesChanged(Message):
    """A person likes something of the dashboard otherwise: fields of ``Preferences``."""

    def __init__(self, **changes: object) -> None:
        super().__init__()
        self.changes = changes
