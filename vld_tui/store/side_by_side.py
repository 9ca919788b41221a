"""Run disk-bound work in parallel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

Item = TypeVar("Item")

MOST_WRITERS: Final = 16


def side_by_side(work: Callable[[Item], None], items: Sequence[Item]) -> None:
    """Run the work for each item, propagating exceptions."""
    if len(items) < 2:
        for item in items:
            work(item)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(MOST_WRITERS) as writers:
        for _ in writers.map(work, items):
            pass
