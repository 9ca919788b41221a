"""Append events to ``events.jsonl`` so that each one recorded survives the process."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

from engine.protocol import (
    TERMINAL_EVENTS,
    Event,
    EventDecodeError,
    RunStarted,
    decode_event,
    encode_event,
)


class EventLog:
    """The event log of one run, open for appending.

    Every event is one unbuffered ``write``: once :meth:`record` returns, the operating system
    has it, and the death of this process cannot take it back.
    """

    def __init__(self, path: Path) -> None:
        lines = _drop_torn_tail(path)
        self.last_seq = -1
        self.attempts = 0
        self.unended: RunStarted | None = None
        """The attempt before, if it said no last word."""
        self.last_time = 0.0
        """When something was last said, as Unix seconds."""
        for line in lines:
            try:
                event = decode_event(line)
            except EventDecodeError:
                continue
            self.last_seq = max(self.last_seq, event.seq)
            self.last_time = event.time
            if isinstance(event, RunStarted):
                self.attempts += 1
                self.unended = event
            elif isinstance(event, TERMINAL_EVENTS):
                self.unended = None
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)

    def record(self, event: Event) -> None:
        """Append the event, numbered and stamped with the time.

        Raises:
            OSError: when it cannot be written.
        """
        self.last_seq += 1
        stamped = msgspec.structs.replace(event, seq=self.last_seq, time=time.time())
        line = encode_event(stamped)
        size = os.fstat(self._descriptor).st_size
        written = os.write(self._descriptor, line)
        if written != len(line):  # a disk that filled up took a part of the line
            os.ftruncate(self._descriptor, size)  # so that a later event begins a line
            raise OSError(f"Only {written} of {len(line)} bytes of an event could be written.")

    def close(self) -> None:
        """Flush to disk and close."""
        os.fsync(self._descriptor)
        os.close(self._descriptor)


def _drop_torn_tail(path: Path) -> list[bytes]:
    """Cut an unterminated last line, left by a death in mid-write, and return the others."""
    if not path.exists():
        return []
    with path.open("r+b") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole != len(content):
            file.truncate(whole)
    return content[:whole].splitlines()
