"""Whether a run's process lives, and what is known of its death."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections import deque
from pathlib import Path
from typing import Final

import psutil

from engine.machine.disk import plain_file
from engine.protocol import AttemptEnd
from engine.rundir.clock import disk_time
from engine.rundir.folder import RunDir
from engine.rundir.process import ExitInfo, ProcessInfo

HEARTBEAT_INTERVAL_S: Final = 5.0
HEARTBEAT_STALE_S: Final = 60.0

_CLOCK_ERROR_S: Final = 1.0
"""A process's start time may be off by as much: the kernel counts from a whole second."""
_CUT_SHORT: Final = (
    ": a file in use was cut short or its disk failed, most likely the image cache, which is made "
    "again when the run is resumed"
)
_BY_LIMIT: Final = "killed for memory: the limit it ran under, as of a cluster's job, was reached"
_NOT_BY_KERNEL: Final = (
    "killed (signal 9) by a person or a program: the kernel killed nothing for memory meanwhile"
)
_PROBABLY_MEMORY: Final = "killed (signal 9): probably out of memory, unless somebody killed it"
_LOG_LINES: Final = 5
_LOG_BYTES: Final = 4096


def is_alive(run_dir: RunDir, process: ProcessInfo) -> bool:
    """Say whether the process lives; one on another host does while its files are fresh.

    One that is suspended lives: it may be let go on at any time.
    """
    known = process.is_alive()
    if known is not None:
        return known
    if exit_of(run_dir, process) is not None:  # somebody waited for it there
        return False
    last_sign = max(last_sign_of_life(run_dir) or 0.0, process.started_at)
    return now_of(run_dir) - last_sign < HEARTBEAT_STALE_S


def now_of(run_dir: RunDir) -> float:
    """Return the Unix seconds up to which the folder can tell, by the clock of its disk.

    Of a copy that is when it was brought.
    """
    try:
        return run_dir.synced.stat().st_mtime
    except OSError:
        return disk_time(run_dir.path)


def last_sign_of_life(run_dir: RunDir) -> float | None:
    """Return when the engine last touched its heartbeat or told an event, as Unix seconds.

    A heartbeat that cannot be touched is no death while events come.
    """
    signs = []
    for path in (run_dir.heartbeat, run_dir.events):
        with contextlib.suppress(OSError):
            signs.append(path.stat().st_mtime)
    return max(signs, default=None)


def exit_since(run_dir: RunDir, started_at: float) -> ExitInfo | None:
    """Return how the process ended, unless the record is older than ``started_at``."""
    info = run_dir.read_exit()
    return info if info is not None and info.ended_at > started_at - _CLOCK_ERROR_S else None


def exit_of(run_dir: RunDir, process: ProcessInfo) -> ExitInfo | None:
    """Return how this process ended, if that is what was recorded."""
    info = run_dir.read_exit()
    if info is None or info.pid is None:
        return exit_since(run_dir, process.started_at)
    return info if info.is_of(process) else None


def end_of(
    run_dir: RunDir, process: ProcessInfo, last_sign: float, *, has_begun: bool = True
) -> AttemptEnd:
    """Return what is known of the end of a dead process that said no last word.

    Args:
        run_dir: its run.
        process: the process.
        last_sign: when it was last known to live, as Unix seconds.
        has_begun: it said anything at all; else its log may tell why not.
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
    """Return the likely cause of a death without a word; the exit code is None if unknown.

    ``by_limit``: the kernel killed a process for memory meanwhile; None: not known.
    """
    if exit_code is None:
        if process.host != socket.gethostname():
            return f"no sign of life from {process.host} for {HEARTBEAT_STALE_S:g} s"
        if process.started_at < psutil.boot_time():
            return "the machine restarted"
        return "process disappeared (killed, its disk failed, or machine restarted)"
    return exit_cause(exit_code, by_limit=by_limit)


def exit_cause(exit_code: int, *, by_limit: bool | None = None) -> str:
    """Return the likely cause of a death without a word, by its exit code; see above."""
    if exit_code == -signal.SIGKILL:
        return {True: _BY_LIMIT, False: _NOT_BY_KERNEL, None: _PROBABLY_MEMORY}[by_limit]
    if exit_code < 0:
        likely = _CUT_SHORT if exit_code == -signal.SIGBUS else ""
        return f"killed by {_signal_name(-exit_code)}{likely}"
    return f"process ended with exit code {exit_code}"


def with_log(cause: str, run_dir: RunDir) -> str:
    """Return the cause with the last lines of the run's log, if there are any."""
    lines = last_lines(run_dir.log)
    return f"{cause}\n{lines}" if lines else cause


def last_lines(path: Path) -> str:
    """Return the last lines of a log, none if it cannot be read."""
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
