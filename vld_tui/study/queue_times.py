"""When queued runs are expected to start, and how long they take."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from vld_tui.runs.run import Run
from vld_tui.store.store import Store
from vld_tui.study.forecast import seconds_of


class QueueTime(NamedTuple):
    """Seconds until a queued run starts, and that it takes; None: unknown. A held run does not
    start."""

    starts_s: float | None = None
    takes_s: float | None = None


class QueueForecast:
    """The times of the queued runs, read again from history when other runs are open."""

    def __init__(self) -> None:
        self._open: tuple[str, ...] = ()
        self._seconds: dict[str, float | None] = {}

    def read(
        self, store: Store, live: Sequence[Run], waiting: Sequence[Run], slots: int
    ) -> Mapping[str, QueueTime]:
        """Return the times of queued runs by id.

        Raises:
            StoreError: when the history cannot be read.
        """
        ids = tuple(run.run_id for run in (*live, *waiting))
        if ids != self._open:
            left = [(run.spec, 1 - run.step / run.steps) for run in waiting if run.has_spec]
            known = (run.run_id for run in waiting if run.has_spec)
            self._seconds = dict(zip(known, seconds_of(store, left), strict=True))
            self._open = ids
        return expected_times(live, waiting, self._seconds, slots)


def expected_times(
    live: Sequence[Run],
    waiting: Sequence[Run],
    seconds: Mapping[str, float | None],
    slots: int,
) -> dict[str, QueueTime]:
    """Return when queued runs start and how long they take, in the queue's order.

    ``seconds`` are those that each takes, by id. After a run of unknown length in every slot, the
    start is unknown too.
    """
    free = [math.inf if run.seconds_left is None else run.seconds_left for run in live]
    free = sorted(free)[max(0, len(free) - slots) :]  # more may run than there are slots
    free += [0.0] * (slots - len(free))
    heapq.heapify(free)
    found = {}
    for run in waiting:
        takes_s = seconds.get(run.run_id)
        if not run.is_due:
            found[run.run_id] = QueueTime(None, takes_s)
            continue
        starts_s = heapq.heappop(free)
        heapq.heappush(free, starts_s + (math.inf if takes_s is None else takes_s))
        found[run.run_id] = QueueTime(None if math.isinf(starts_s) else starts_s, takes_s)
    return found
