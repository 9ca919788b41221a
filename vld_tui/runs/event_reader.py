"""Read a run's events as they come, from where the last reading ended."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from engine.protocol import Event, EventDecodeError, decode_event
from engine.rundir import RunDir, plain_file

BATCH_BYTES: Final = 2**22
"""Read at once of a long log: a fraction of a second's work, and a hundred megabytes of events."""


@dataclass(frozen=True)
class EventBatch:
    """Events read at once, and where the next reading starts.

    ``offset`` counts bytes. ``damaged_lines`` are complete lines that are no events.
    ``restarted``: the file was shorter than it had been, so it was read from its start.
    ``following`` is the first event after the batch, which the next reading will hand out; None:
    there is none yet.
    """

    events: tuple[Event, ...]
    offset: int
    damaged_lines: int
    restarted: bool
    following: Event | None = None
    is_last: bool = True


def read_events(path: Path, offset: int, *, most_bytes: int | None = None) -> EventBatch:
    """Read the complete lines after ``offset`` bytes; an unterminated last one is left.

    With ``most_bytes`` about as many are read, but one line at least: unless the batch
    ``is_last`` there are more. A file that is not there has nothing new.

    Raises:
        OSError: when the file is there and cannot be read.
    """
    try:
        with open(path, "rb", opener=plain_file) as file:
            restarted = os.fstat(file.fileno()).st_size < offset
            start = 0 if restarted else offset
            file.seek(start)
            content, next_line = _read_lines(file, most_bytes)
    except FileNotFoundError:
        content, next_line, start, restarted = b"", b"", offset, False
    events: list[Event] = []
    damaged_lines = 0
    for line in content.split(b"\n"):
        if not line:
            continue
        try:
            events.append(decode_event(line))
        except EventDecodeError:
            damaged_lines += 1
    return EventBatch(
        tuple(events),
        start + len(content),
        damaged_lines,
        restarted,
        following=_decoded(next_line),
        is_last=not next_line,
    )


def _read_lines(file: IO[bytes], most_bytes: int | None) -> tuple[bytes, bytes]:
    """Return whole lines from here on, and the whole line after them if there is one."""
    content = file.read(-1 if most_bytes is None else most_bytes)
    is_all = most_bytes is None or len(content) < most_bytes
    if not is_all and b"\n" not in content:  # one line that is longer
        content += file.readline()
    whole = content.rfind(b"\n") + 1
    next_line = b"" if is_all else content[whole:] + file.readline()
    return content[:whole], next_line if next_line.endswith(b"\n") else b""


def _decoded(line: bytes) -> Event | None:
    try:
        return decode_event(line)
    except EventDecodeError:
        return None


class EventFollower:
    """A run's events, each handed out once; ``offset``: from this byte of the log on."""

    def __init__(self, run_dir: RunDir, offset: int = 0) -> None:
        self._path = run_dir.events
        self._offset = offset

    def poll(self) -> list[Event]:
        """Return the events that came since the last poll, oldest first.

        Raises:
            OSError: when the event log cannot be read.
        """
        return list(self.news())

    def news(self) -> Iterator[Event]:
        """Yield the events that came since the last time, oldest first, however many.

        Raises:
            OSError: when the event log cannot be read.
        """
        is_last = False
        while not is_last:
            batch = read_events(self._path, self._offset, most_bytes=BATCH_BYTES)
            self._offset, is_last = batch.offset, batch.is_last
            yield from batch.events
