"""The event log of a run, ``events.jsonl``."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import time
from pathlib import Path
from typing import Final

import msgspec

from engine.machine.disk import plain_file
from engine.protocol import (
    TERMINAL_EVENTS,
    Event,
    EventDecodeError,
    RunStarted,
    decode_event,
    encode_event,
)

RESERVE_BYTES: Final = 2**16
"""Disk space reserved for the terminal event, in case the disk fills up."""


class EventLog:
    """The event log of one run, open for appending.

    Every event is one unbuffered ``write``: once :meth:`record` returns, it survives the death of
    this process.

    Attributes:
        last_seq: number of the last event; -1 if there is none.
        attempts: number of attempts in the log.
        protocol_version: the newest version of any attempt; 0 if there is none.
        unended: the previous attempt, if it recorded no terminal event.
        last_time: when the last event was recorded, as Unix seconds.
        recorded_at: when this process last recorded one, as a ``time.monotonic`` value.
    """

    recorded_at = -math.inf

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reserve = path.with_name(f".{path.name}.reserve.tmp")
        self.last_seq = -1
        self.attempts = 0
        self.unended: RunStarted | None = None
        self.last_time = 0.0
        self.protocol_version = 0
        self._read()
        self._descriptor = plain_file(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def catch_up(self) -> None:
        """Continue numbering after the events that another process, now ended, recorded."""
        self.attempts = 0
        self._read()

    def _read(self) -> None:
        for line in _drop_incomplete_line(self._path):
            try:
                event = decode_event(line)
            except EventDecodeError:
                continue
            self.last_seq = max(self.last_seq, event.seq)
            self.last_time = event.time
            if isinstance(event, RunStarted):
                self.attempts += 1
                self.protocol_version = max(self.protocol_version, event.protocol_version)
                self.unended = event
            elif isinstance(event, TERMINAL_EVENTS):
                self.unended = None

    def record(self, event: Event) -> None:
        """Append the event with its number and time.

        Raises:
            OSError: if it cannot be written.
        """
        stamped = msgspec.structs.replace(event, seq=self.last_seq + 1, time=time.time())
        line = encode_event(stamped)
        size = os.fstat(self._descriptor).st_size
        written = os.write(self._descriptor, line)
        if written != len(line):  # the disk filled up within the line
            os.ftruncate(self._descriptor, size)  # so that the next event begins a line
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.last_seq += 1
        self.recorded_at = time.monotonic()

    def reserve_space(self) -> None:
        """Reserve disk space for :meth:`record_last`."""
        with contextlib.suppress(OSError):  # there may be space when it is needed
            self._reserve.unlink(missing_ok=True)
            with self._reserve.open("xb") as file:
                file.write(os.urandom(RESERVE_BYTES))

    def free_reserve(self) -> None:
        """Free the reserved disk space."""
        self._reserve.unlink(missing_ok=True)

    def record_last(self, event: Event) -> None:
        """Append a terminal event; on a full disk, use the reserved space.

        Raises:
            OSError: if it still cannot be written.
        """
        try:
            self.record(event)
        except OSError:
            self.free_reserve()
            self.record(event)

    def sync(self) -> None:
        """Flush the log to disk, so that it survives a power loss.

        Raises:
            OSError: if that fails.
        """
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Flush to disk and close.

        Raises:
            OSError: if that fails.
        """
        try:
            self.sync()
        finally:
            os.close(self._descriptor)
            with contextlib.suppress(OSError):
                self._reserve.unlink(missing_ok=True)


class SilentLog(EventLog):
    """A log that discards events, for ranks whose events rank 0 records."""

    def __init__(self) -> None:
        """Open nothing."""

    def record(self, event: Event) -> None:
        """Do nothing."""

    def sync(self) -> None:
        """Do nothing."""

    def free_reserve(self) -> None:
        """Do nothing."""


def _drop_incomplete_line(path: Path) -> list[bytes]:
    """Remove an unterminated last line, left by a crash, and return the other lines."""
    if not os.path.lexists(path):
        return []
    with open(path, "r+b", opener=plain_file) as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole != len(content):
            file.truncate(whole)
    return content[:whole].splitlines()
