"""Time: the clock of a disk, which may differ from this machine's by minutes, and a timer."""

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
"""By device: what its clock showed, and at which moment of this machine's uptime."""


def disk_time(folder: Path) -> float:
    """Return the Unix seconds that a file written into ``folder`` now would be given.

    A nameless file shows it; where none can be written it is this machine's own time.
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
    """Do something in a thread of this name, again and again, until the block ends."""
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
