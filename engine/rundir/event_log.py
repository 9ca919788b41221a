"""Append events to ``events.jsonl`` so that each one recorded survives the process."""

from __future__ import annotations

import contextlib
import errno
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
"""As much room is kept for the last word of a run whose disk has filled up."""


class EventLog:
    """The event log of one run, open for appending.

    Every event is one unbuffered ``write``: once :meth:`record` returns, the operating system
    has it, and the death of this process cannot take it back.

    Attributes:
        last_seq: number of the last event; -1: there is none.
        attempts: lives of the run that the log tells of.
        protocol_version: the newest one that any of them spoke; 0: there was none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reserve = path.with_name(f".{path.name}.reserve.tmp")
        self.last_seq = -1
        self.attempts = 0
        self.unended: RunStarted | None = None
        """The attempt before, if it said no last word."""
        self.last_time = 0.0
        """When something was last said, as Unix seconds."""
        self.protocol_version = 0
        self._read()
        self._descriptor = plain_file(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def catch_up(self) -> None:
        """Number on from what another process, which is over, has recorded since."""
        self.attempts = 0
        self._read()

    def _read(self) -> None:
        for line in _drop_torn_tail(self._path):
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
        """Append the event, numbered and stamped with the time.

        Raises:
            OSError: when it cannot be written.
        """
        stamped = msgspec.structs.replace(event, seq=self.last_seq + 1, time=time.time())
        line = encode_event(stamped)
        size = os.fstat(self._descriptor).st_size
        written = os.write(self._descriptor, line)
        if written != len(line):  # a disk that filled up took a part of the line
            os.ftruncate(self._descriptor, size)  # so that a later event begins a line
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.last_seq += 1

    def keep_room(self) -> None:
        """Take room on the disk now that :meth:`record_last` can give back."""
        with contextlib.suppress(OSError):  # it may still be there when it is needed
            self._reserve.unlink(missing_ok=True)
            with self._reserve.open("xb") as file:
                file.write(os.urandom(RESERVE_BYTES))

    def give_room(self) -> None:
        """Give back the room that was kept."""
        self._reserve.unlink(missing_ok=True)

    def record_last(self, event: Event) -> None:
        """Append the event that closes a life, on a full disk in the room that was kept.

        Raises:
            OSError: when it cannot be written even there.
        """
        try:
            self.record(event)
        except OSError:
            self.give_room()
            self.record(event)

    def sync(self) -> None:
        """Force what was recorded to disk: until then, losing power may lose it.

        Raises:
            OSError: when the disk refuses.
        """
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Force to disk and close.

        Raises:
            OSError: when the disk refuses.
        """
        try:
            self.sync()
        finally:
            os.close(self._descriptor)
            with contextlib.suppress(OSError):
                self._reserve.unlink(missing_ok=True)


class SilentLog(EventLog):
    """Takes events and keeps none: for a process of whose work another one tells."""

    def __init__(self) -> None:
        """Open nothing."""

    def record(self, event: Event) -> None:
        """Do nothing."""

    def sync(self) -> None:
        """Do nothing."""

    def give_room(self) -> None:
        """Do nothing."""


def _drop_torn_tail(path: Path) -> list[bytes]:
    """Cut an unterminated last line, left by a death in mid-write, and return the others."""
    if not os.path.lexists(path):
        return []
    with open(path, "r+b", opener=plain_file) as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole != len(content):
            file.truncate(whole)
    return content[:whole].splitlines()
