"""The closing of the terminal, which ends the dashboard."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading


def end_with_terminal() -> None:
    """End this process as SIGHUP does once its terminal is closed, though it may not get one.

    Without a terminal Textual would read the end of its input again and again. Only the leader of
    a session is certain to get the signal, and whatever ``nohup`` started ignores it.
    """
    if sys.stdin.isatty():
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        threading.Thread(target=_wait, args=(sys.stdin.fileno(),), daemon=True).start()


def _wait(terminal: int) -> None:
    poll = select.poll()
    poll.register(terminal, 0)  # reports only hang-ups and errors
    if any(event & select.POLLHUP for _, event in poll.poll()):
        os.kill(os.getpid(), signal.SIGHUP)
