"""Whether a run's process is alive, and why it died; clock and timer of its signs of life."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import psutil

from engine.machine.disk import plain_file
from engine.protocol import AttemptEnd
from engine.rundir.folder import RunDir
from engine.rundir.process import ExitInfo, ProcessInfo

HEARTBEAT_INTERVAL_S: Final = 5.0
HEARTBEAT_STALE_S: Final = 60.0
_CLOCK_ERROR_S: Final = 1.0
"""A process's start time may be off by as much: the kernel counts from a whole second."""
_TRUNCATED: Final = (
    ": a file in use was truncated or its disk failed, most likely the image cache; resuming "
    "rebuilds it"
)
_BY_LIMIT: Final = "killed: out of memory (cgroup or job limit reached)"
_NOT_BY_KERNEL: Final = (
    "killed (signal 9) by a user or a program (the kernel reports no out-of-memory kill)"
)
_PROBABLY_MEMORY: Final = "killed (signal 9), probably out of memory, or by a user"
_LOG_LINES: Final = 5
_LOG_BYTES: Final = 4096
_KEPT_S: Final = 60.0
_readings: dict[int, tuple[float, float]] = {}
"""Readings by device: the disk's time, and the monotonic time of this machine."""


def is_alive(run_dir: RunDir, process: ProcessInfo) -> bool:
    """Return whether the process is alive; on another host, whether its heartbeat is recent.

    A suspended process is alive.
    """
    known = process.is_alive()
    if known is not None:
        return known
    if exit_of(run_dir, process) is not None:  # its launcher there recorded the end
        return False
    last_sign = max(last_sign_of_life(run_dir) or 0.0, process.started_at)
    return now_of(run_dir) - last_sign < HEARTBEAT_STALE_S


def now_of(run_dir: RunDir) -> float:
    """Return the current time (Unix s) by the clock of the folder's disk.

    For a copy, return the time of its last sync.
    """
    try:
        return run_dir.synced.stat().st_mtime
    except OSError:
        return disk_time(run_dir.path)


def last_sign_of_life(run_dir: RunDir) -> float | None:
    """Return when the engine last touched its heartbeat or recorded an event, as Unix seconds.

    Events count too, because the heartbeat may fail to be written.
    """
    signs = []
    for path in (run_dir.heartbeat, run_dir.events):
        with contextlib.suppress(OSError):
            signs.append(path.stat().st_mtime)
    return max(signs, default=None)


def exit_since(run_dir: RunDir, started_at: float) -> ExitInfo | None:
    """Return the recorded exit, unless it is older than ``started_at``."""
    info = run_dir.read_exit()
    return info if info is not None and info.ended_at > started_at - _CLOCK_ERROR_S else None


def exit_of(run_dir: RunDir, process: ProcessInfo) -> ExitInfo | None:
    """Return the recorded exit if it is this process's."""
    info = run_dir.read_exit()
    if info is None or info.pid is None:
        return exit_since(run_dir, process.started_at)
    return info if info.is_of(process) else None


def end_of(
    run_dir: RunDir, process: ProcessInfo, last_sign: float, *, has_begun: bool = True
) -> AttemptEnd:
    """Return how a process ended that recorded no terminal event.

    Args:
        run_dir: its run.
        process: the process.
        last_sign: when it was last known to be alive, as Unix seconds.
        has_begun: whether it recorded any event; if not, the cause includes its log.
    """
    info = exit_of(run_dir, process)
    ended_at, exit_code = (info.ended_at, info.exit_code) if info else (last_sign, None)
    asked = run_dir.read_kill()
    if asked is not None and asked.is_of(process) and exit_code in (None, -signal.SIGKILL):
        cause = f"killed by {asked.by}"
        return AttemptEnd(ended_at=ended_at, exit_code=exit_code, cause=cause, on_purpose=True)
    cause = cause_of_death(process, exit_code, by_limit=info.memory_limit if info else None)
    if not has_begun or exit_code not in (None, -signal.SIGKILL):
        cause = with_log(cause, run_dir)
    return AttemptEnd(ended_at=ended_at, exit_code=exit_code, cause=cause)


def cause_of_death(
    process: ProcessInfo, exit_code: int | None, *, by_limit: bool | None = None
) -> str:
    """Return the likely cause of a death without terminal event; ``exit_code`` None: unknown.

    ``by_limit``: the kernel reports an out-of-memory kill in that time; None: unknown.
    """
    if exit_code is None:
        if process.host != socket.gethostname():
            return f"no sign of life from {process.host} for {HEARTBEAT_STALE_S:g} s"
        if process.started_at < psutil.boot_time():
            return "the machine restarted"
        return "process disappeared (killed, disk failure, or machine restart)"
    return exit_cause(exit_code, by_limit=by_limit)


def exit_cause(exit_code: int, *, by_limit: bool | None = None) -> str:
    """Return the likely cause of a death by its exit code; see :func:`cause_of_death`."""
    if exit_code == -signal.SIGKILL:
        return {True: _BY_LIMIT, False: _NOT_BY_KERNEL, None: _PROBABLY_MEMORY}[by_limit]
    if exit_code < 0:
        likely = _TRUNCATED if exit_code == -signal.SIGBUS else ""
        return f"killed by {_signal_name(-exit_code)}{likely}"
    return f"process ended with exit code {exit_code}"


def with_log(cause: str, run_dir: RunDir) -> str:
    """Return the cause with the last lines of the run's log."""
    lines = last_lines(run_dir.log)
    return f"{cause}\n{lines}" if lines else cause


def last_lines(path: Path) -> str:
    """Return the last lines of a log; empty if it cannot be read."""
    try:
        with open(path, "rb", opener=plain_file) as file:
            file.seek(max(0, file.seek(0, 2) - _LOG_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    lines = (line.rstrip() for line in text.splitlines())
    return "\n".join(deque((line for line in lines if line), maxlen=_LOG_LINES))


def _signal_name(number: int) -> str:
    try:
        return f"{signal.Signals(number).name} (signal {number})"
    except ValueError:
        return f"signal {number}"


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
