"""What every tracker receives and does: plain values in, errors that the user can fix out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from engine.protocol import UserError

PROJECT = "vld"
"""The project, if none is given."""


class TrackerError(UserError):
    """A tracker that cannot be used; the message names it, the reason and what to do."""


class Destination(msgspec.Struct, frozen=True):
    """Where a tracker keeps runs; None: its own default."""

    project: str | None = None
    dir: Path | None = None
    uri: str | None = None
    offline: bool = False


class Row(NamedTuple):
    """Values of one step, by name; NaN: not finite.

    ``seq`` is the number of the event that reported them, ``time`` its Unix time. Both are the same
    whenever a run is read.
    """

    seq: int
    time: float
    step: int
    values: Mapping[str, float]


class Known(NamedTuple):
    """What a destination already has of a run: every event up to ``seq``, and each of these names
    up to a step."""

    seq: int = -1
    steps: Mapping[str, int] = {}


class TrackedRun(msgspec.Struct, frozen=True):
    """A run as a tracker shows it.

    ``group`` is its study, if any; ``settings`` are plain values. ``selected`` are the results at
    the selected step of a run that has ended. Times are Unix seconds; ``ended_at`` is None while it
    runs.
    """

    run_id: str
    name: str
    status: str
    created_at: float
    group: str | None = None
    tags: tuple[str, ...] = ()
    note: str = ""
    settings: Mapping[str, str | float | bool | None] = {}
    selected: Row | None = None
    ended_at: float | None = None

    @property
    def has_failed(self) -> bool:
        """Return whether it ended with an error."""
        return self.status in ("failed", "crashed")


class FoundRun(msgspec.Struct, frozen=True):
    """A run read from a tracker's files.

    ``key`` is the same whenever it is read. ``curves`` are values by name and step; NaN: not
    finite. ``status`` is ``finished`` or ``failed``; empty: unknown.
    """

    key: str
    name: str
    curves: Mapping[str, Mapping[int, float]]
    settings: Mapping[str, str | float | bool | None] = {}
    group: str | None = None
    tags: tuple[str, ...] = ()
    note: str = ""
    status: str = ""


class Session(Protocol):
    """One run of a tracker, being written."""

    @property
    def known(self) -> Known:
        """Return what the destination had when the session began."""

    @property
    def place(self) -> str:
        """Return where the run is: a folder, an address, a database."""

    def log(self, rows: Sequence[Row]) -> None:
        """Add values, in order of events; they are new to the destination.

        Raises:
            TrackerError: when they cannot be written.
        """

    def describe(self, run: TrackedRun) -> None:
        """Set name, tags, note, status and selected results.

        Raises:
            TrackerError: when they cannot be written.
        """

    def close(self) -> None:
        """Finish writing.

        Raises:
            TrackerError: when something could not be written.
        """


class Tracker(Protocol):
    """A place for runs."""

    @property
    def view(self) -> tuple[str, str] | None:
        """Return a command that shows the runs, and its purpose; None: they have an address."""

    def begin(self, run: TrackedRun) -> Session:
        """Find a run, or begin it.

        Raises:
            TrackerError: when the tracker cannot be reached.
        """
