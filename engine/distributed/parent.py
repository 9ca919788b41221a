"""Processes that end when the one that started them does, however that ended."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from typing import Final

from engine.rundir import RunDir
from engine.rundir.life import HEARTBEAT_STALE_S

_PR_SET_PDEATHSIG: Final = 1
_POLL_S: Final = 0.5
_HEART_POLL_S: Final = 5.0
HEARTBEAT_PATIENCE_S: Final = 3 * HEARTBEAT_STALE_S
"""A shared disk may tell of a heartbeat a minute late."""


def end_with(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent ends; where it cannot, watch for that.

    Call it from the main thread, as the first thing. The process that started this one must have
    done so from its main thread: the kernel takes the end of the thread for the end of all.
    """
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_watch, args=(parent_pid,), name="parent", daemon=True).start()
    if os.getppid() != parent_pid:  # it was over before the kernel was told
        os._exit(1)


def end_with_heartbeat(run_dir: RunDir) -> None:
    """End this process when the run's head, on another machine perhaps, shows no sign of life."""
    threading.Thread(target=_watch_heart, args=(run_dir,), name="parent", daemon=True).start()


def _watch_heart(run_dir: RunDir) -> None:
    """Wait until the heartbeat no longer changes, by this machine's clock: those of two differ."""
    last, changed_at = _last_beat(run_dir), time.monotonic()
    while time.monotonic() - changed_at < HEARTBEAT_PATIENCE_S:
        time.sleep(_HEART_POLL_S)
        if (beat := _last_beat(run_dir)) != last:
            last, changed_at = beat, time.monotonic()
    os._exit(1)


def _last_beat(run_dir: RunDir) -> float:
    """Return when the head last touched its heartbeat, as its disk has it; 0: never."""
    try:
        return run_dir.heartbeat.stat().st_mtime
    except OSError:
        return 0.0


def _watch(parent_pid: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(_POLL_S)
    os._exit(1)
