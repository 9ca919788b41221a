"""Work on one request in a process of its own, reported as JSON lines.

For programs that import neither torch nor images; see :mod:`engine.protocol.work`.
"""

from __future__ import annotations

import functools
import operator
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from engine.errors import InputError
from engine.protocol.work import ON_STDIN, WorkDone, WorkProgress, WorkRefused, WorkReport

INTERVAL_S: Final = 0.1
REFUSED_EXIT: Final = 2
INTERRUPTED_EXIT: Final = 130

Reporter = Callable[[WorkReport], None]
"""Takes progress, notes and rows during the work."""
Progress = Callable[[int, int], None]
"""Takes the number of units done and the total."""


def work(
    arguments: Sequence[str], handlers: Mapping[type, Callable[[Any, Reporter], object]]
) -> int:
    """Handle a request and return the exit code.

    Args:
        arguments: the request as JSON, or ``-``: it is on stdin.
        handlers: by type of request; each returns the answer.
    """
    request_type: Any = functools.reduce(operator.or_, handlers)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up as after Ctrl-C
    [encoded] = arguments
    try:
        content = sys.stdin.buffer.read() if encoded == ON_STDIN else encoded
        request = msgspec.json.decode(content, type=request_type)
        answer = handlers[type(request)](request, write_report)
    except InputError as error:
        write_report(WorkRefused(str(error)))
        return REFUSED_EXIT
    except KeyboardInterrupt:
        return INTERRUPTED_EXIT
    except BrokenPipeError:  # the reader has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return REFUSED_EXIT
    write_report(WorkDone(msgspec.Raw(msgspec.json.encode(answer))))
    return 0


def write_report(report: WorkReport) -> None:
    """Write a report as one line to stdout."""
    sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    sys.stdout.buffer.flush()


def progress_of(report: Reporter, what: str, unit: str, unit_size: int = 1) -> Progress:
    """Return a function that reports the progress of ``what`` in units of ``unit_size`` items.

    Reports are at most ten a second.
    """
    reported_at = -INTERVAL_S

    def progress(done: int, total: int) -> None:
        nonlocal reported_at
        if done == total or time.monotonic() - reported_at >= INTERVAL_S:
            reported_at = time.monotonic()
            report(WorkProgress(what, -(-done // unit_size), -(-total // unit_size), unit))

    return progress
