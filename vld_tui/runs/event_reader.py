"""Read a run's new events incrementally."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from engine.protocol import Event, EventDecodeError, decode_event
from engine.rundir import RunDir, plain_file

BATCH_BYTES: Final = 2**22
"""Bytes read at once from a long log: a fraction of a second, and 100 MB of event objects."""


@dataclass(frozen=True)
class EventBatch:
    """Events read at once, and where the next read starts.

    ``offset`` counts bytes. ``damaged_lines`` are complete lines that are not valid events.
    ``restarted``: the file had become shorter, so it was read from its start.
    ``following`` is the first event after the batch, which the next read returns, if any.
    """

    events: tuple[Event, ...]
    offset: int
    damaged_lines: int
    restarted: bool
    following: Event | None = None
    is_last: bool = True


def read_events(path: Path, offset: int, *, most_bytes: int | None = None) -> EventBatch:
    """Read the complete lines after ``offset`` bytes, without an unterminated last line.

    With ``most_bytes``, about that many are read, but at least one line; more follow unless the
    batch ``is_last``. A missing file has no events.

    Raises:
        OSError: when the file exists but cannot be read.
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
    """Return whole lines from here, and the whole line after them, if any."""
    content = file.read(-1 if most_bytes is None else most_bytes)
    is_all = most_bytes is None or len(content) < most_bytes
    if not is_all and b"\n" not in content:  # one longer line
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
    """A run's events, each returned once; ``offset``: start at this byte of the log."""

    def __init__(self, run_dir: RunDir, offset: int = 0) -> None:
        self._path = run_dir.events
        self._offset = offset

    def poll(self) -> list[Event]:
        """Return the events since the last poll, oldest first.

        Raises:
            OSError: when the event log cannot be read.
        """
        return list(self.news())

    def news(self) -> Iterator[Event]:
        """Yield all events since the last call, oldest first.

        Raises:
            OSError: when the event log cannot be read.
        """
        is_last = False
        while not is_last:
            batch = read_events(self._path, self._offset, most_bytes=BATCH_BYTES)
            self._offset, is_last = batch.offset, batch.is_last
            yield from batch.events
