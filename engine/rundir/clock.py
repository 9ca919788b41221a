"""The clock of a disk, which may differ from this machine's, and a periodic timer."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

_KEPT_S: Final = 60.0
_readings: dict[int, tuple[float, float]] = {}
"""Readings by device: the disk's time, and the monotonic time of this machine."""


def disk_time(folder: Path) -> float:
    """Return the modification time (Unix s) of a file written to ``folder`` now.

    Read from an unnamed temporary file; if none can be written, this machine's time.
    """
    try:
        device = folder.stat().st_dev
        reading = _readings.get(device)
        if reading is None or not 0 <= time.monotonic() - reading[1] < _KEPT_S:
            reading = (_read_clock(folder), time.monotonic())
            _readings[device] = reading
    except OSError:
        return time.time()
    return reading[0] + time.monotonic() - reading[1]


def _read_clock(folder: Path) -> float:
    with tempfile.TemporaryFile(dir=folder, prefix=".clock-") as file:
        file.write(b"\n")
        file.flush()
        os.fsync(file.fileno())
        return os.fstat(file.fileno()).st_mtime


@contextlib.contextmanager
def every(seconds: float, act: Callable[[], None], name: str) -> Iterator[None]:
    """Call ``act`` every ``seconds`` in a thread called ``name`` during the block."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(seconds):
            act()

    thread = threading.Thread(target=repeat, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
