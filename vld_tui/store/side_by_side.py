"""Do many things that wait for the disk at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

Item = TypeVar("Item")

MOST_WRITERS: Final = 16


def side_by_side(work: Callable[[Item], None], items: Sequence[Item]) -> None:
    """Do the work for each item; whatever it raises is raised."""
    if len(items) < 2:
        for item in items:
            work(item)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(MOST_WRITERS) as writers:
        for _ in writers.map(work, items):
            pass
