"""Rate-limited progress reports."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from engine.protocol.datasets import WorkProgress, WorkReport

INTERVAL_S: Final = 0.1

Reporter = Callable[[WorkReport], None]
"""Takes progress and notes during the work."""
Progress = Callable[[int, int], None]
"""Takes the number of units done and the total."""


def progress_of(report: Reporter, what: str, unit: str, unit_size: int = 1) -> Progress:
    """Return a function that reports the progress of ``what`` in units of ``unit_size`` items."""
    reported_at = -INTERVAL_S

    def progress(done: int, total: int) -> None:
        nonlocal reported_at
        if done == total or time.monotonic() - reported_at >= INTERVAL_S:
            reported_at = time.monotonic()
            report(WorkProgress(what, -(-done // unit_size), -(-total // unit_size), unit))

    return progress
