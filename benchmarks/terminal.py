"""A program in a pseudo-terminal: what it draws, and when."""

from __future__ import annotations

import fcntl
import math
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

import psutil
import pyte

COLUMNS, LINES = 120, 40
PATIENCE_S = 30.0
_NOT_OF_PYTE = re.compile(
    rb"\x1b\[[?>=<][0-9;]*(?:\$p|u|[a-ln-z])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"
)
"""Requests to newer terminals that pyte would read as text."""


class Terminal:
    """A terminal that records all output with its time."""

    def __init__(self, command: Sequence[str], columns: int = COLUMNS, lines: int = LINES) -> None:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._size = (columns, lines)
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        self._master = master
        self._chunks: list[tuple[float, bytes]] = []
        self.started_at = time.perf_counter()
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment,
            start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.killpg(self.process.pid, signal.SIGTERM)  # its children too
        self.process.wait()
        self._reader.join()
        os.close(self._master)

    def type(self, keys: str) -> float:
        """Write keys; return the time."""
        typed_at = time.perf_counter()
        os.write(self._master, keys.encode())
        return typed_at

    def wait_for(self, pattern: bytes, since: float = 0.0) -> float:
        """Return the time at which matching output after ``since`` arrived.

        Raises:
            TimeoutError: if it does not arrive.
        """
        deadline = time.perf_counter() + PATIENCE_S
        tail, seen = b"", 0
        while time.perf_counter() < deadline:
            for arrived_at, chunk in self._chunks[seen:]:
                seen += 1
                tail = tail[-200:] + chunk if arrived_at > since else b""
                if re.search(pattern, tail):
                    return arrived_at
            time.sleep(0.002)
        raise TimeoutError(f"{pattern!r} did not appear")

    def processor_s(self) -> float:
        """Return the processor time that the program and its children have used."""
        return sum(sum(each.cpu_times()[:2]) for each in self._processes())

    def memory_mib(self) -> float:
        """Return the resident memory of the program and its children."""
        return sum(each.memory_info().rss for each in self._processes()) / 2**20

    def wait_until_quiet(self, seconds: float) -> float:
        """Return the time of the last output, once none has followed for a while."""
        while time.perf_counter() - self._chunks[-1][0] < seconds:
            time.sleep(0.01)
        return self._chunks[-1][0]

    def bytes_between(self, start: float, end: float = math.inf) -> int:
        """Return the number of bytes that arrived between two times."""
        return sum(len(chunk) for at, chunk in list(self._chunks) if start < at <= end)

    def replay(self, see: Callable[[float, pyte.Screen], None]) -> pyte.Screen:
        """Replay all output; ``see`` receives the screen after each piece.

        Returns:
            The final screen.
        """
        screen = pyte.Screen(*self._size)
        stream = pyte.ByteStream(screen)
        for arrived_at, chunk in list(self._chunks):
            stream.feed(_NOT_OF_PYTE.sub(b"", chunk))
            see(arrived_at, screen)
        return screen

    def _processes(self) -> list[psutil.Process]:
        program = psutil.Process(self.process.pid)
        return [program, *program.children(recursive=True)]

    def _read(self) -> None:
        with suppress(OSError):  # the program has ended
            while chunk := os.read(self._master, 1 << 16):
                self._chunks.append((time.perf_counter(), chunk))
