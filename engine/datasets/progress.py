"""How far a piece of work is, told no more often than an eye can follow."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from engine.protocol.datasets import WorkProgress, WorkReport

TOLD_EVERY_S: Final = 0.1

Tell = Callable[[WorkReport], None]
"""Takes progress and notes while the work goes on."""
Progress = Callable[[int, int], None]
"""Takes how many units of a piece of work are done, and of how many."""


def progress_of(tell: Tell, what: str, unit: str, unit_size: int = 1) -> Progress:
    """Return what tells of a piece of work, in ``unit`` of ``unit_size`` things each."""
    told_at = -TOLD_EVERY_S

    def progress(done: int, total: int) -> None:
        nonlocal told_at
        if done == total or time.monotonic() - told_at >= TOLD_EVERY_S:
            told_at = time.monotonic()
            tell(WorkProgress(what, -(-done // unit_size), -(-total // unit_size), unit))

    return progress
