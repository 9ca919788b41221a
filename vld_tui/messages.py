"""What parts of the dashboard tell one another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from textual.message import Message

from vld_tui.feed import Interest, RunRow, Snapshot


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
class RunHighlighted(Message):
    """The cursor of the run table stands on another run, or on none."""

    row: RunRow | None


@dataclass
class RunOpened(Message):
    """A person wants to see all of a run."""

    run_id: str


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
