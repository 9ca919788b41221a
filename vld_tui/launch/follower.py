"""Read a run's events as they come, from where the last reading ended."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from engine.protocol import Event, EventDecodeError, decode_event
from engine.rundir import RunDir


@dataclass(frozen=True)
class EventBatch:
    """Events read at once, and where the next reading starts.

    ``offset`` counts bytes. ``damaged_lines`` are complete lines that are no events.
    ``restarted``: the file was shorter than it had been, so it was read from its start.
    """

    events: tuple[Event, ...]
    offset: int
    damaged_lines: int
    restarted: bool


def read_events(path: Path, offset: int) -> EventBatch:
    """Read the complete lines after ``offset`` bytes; an unterminated last one is left.

    A file that is not there has nothing new.

    Raises:
        OSError: when the file is there and cannot be read.
    """
    try:
        with path.open("rb") as file:
            restarted = os.fstat(file.fileno()).st_size < offset
            start = 0 if restarted else offset
            file.seek(start)
            content = file.read()
    except FileNotFoundError:
        content, start, restarted = b"", offset, False
    whole = content.rfind(b"\n") + 1
    events: list[Event] = []
    damaged_lines = 0
    for line in content[:whole].split(b"\n"):
        if not line:
            continue
        try:
            events.append(decode_event(line))
        except EventDecodeError:
            damaged_lines += 1
    return EventBatch(tuple(events), start + whole, damaged_lines, restarted)


class EventFollower:
    """A run's events, each handed out once."""

    def __init__(self, run_dir: RunDir) -> None:
        self._path = run_dir.events
        self._offset = 0

    def poll(self) -> list[Event]:
        """Return the events that came since the last poll, oldest first.

        Raises:
            OSError: when the event log cannot be read.
        """
        batch = read_events(self._path, self._offset)
        self._offset = batch.offset
        return list(batch.events)
