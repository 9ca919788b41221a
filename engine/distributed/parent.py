"""Processes that end when the one that started them does, however that ended."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_POLL_S: Final = 0.5


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


def _watch(parent_pid: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(_POLL_S)
    os._exit(1)
