"""This machine's queue: its runs, their order, holds and removal."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from typing import Final

from vld_tui.home import Home
from vld_tui.runs.run import DAMAGED, QUEUED, Run
from vld_tui.store.columns import put_last_in_queue
from vld_tui.store.database import Database
from vld_tui.store.errors import StoreError, out_of_reach
from vld_tui.store.lookup import find_by_id
from vld_tui.store.notifications import note_end
from vld_tui.store.rows import read_run, read_runs
from vld_tui.store.runs import Runs

_IN_QUEUE: Final = "status = 'queued' AND job_open = 0 AND trashed_at IS NULL"
_PAGE: Final = 64
"""Runs that are read at once to find the next ones: as many as a queue has slots."""


class Queue:
    """The queue of an open history."""

    def __init__(self, database: Database, home: Home, runs: Runs) -> None:
        self._database, self._home, self._runs = database, home, runs

    def runs(self) -> list[Run]:
        """Return this machine's queued runs in order."""
        return read_runs(self._database, _IN_QUEUE, order="queue_position")

    def due(self) -> Iterator[Run]:
        """Yield the runs that may be started, in order, reading only as many as are asked for."""
        keys = [
            key
            for (key,) in self._database.rows(
                f"SELECT key FROM runs WHERE {_IN_QUEUE} ORDER BY queue_position"
            )
        ]
        for begin in range(0, len(keys), _PAGE):
            page = keys[begin : begin + _PAGE]
            where = f"{_IN_QUEUE} AND key IN ({', '.join('?' * len(page))})"
            runs = read_runs(self._database, where, page, order="queue_position")
            yield from (run for run in runs if run.is_due)

    def add(self, run_id: str) -> None:
        """Queue an interrupted run to be resumed.

        Raises:
            StoreError: when it has finished, is running, already queued, or in the trash.
        """
        run = self._runs.get(run_id)
        if (reason := out_of_reach(run)) is not None:
            raise StoreError(reason)
        if find_by_id(self._database, run_id).run_dir(self._home).is_copy:
            raise StoreError(
                f"Run {run_id} is a read-only copy of a run on another machine; resume it there."
            )
        if run.status == DAMAGED:
            raise StoreError(f"Run {run_id} is damaged: {run.error}")
        if run.is_live or run.status in ("finished", QUEUED) or run.has_job:
            with_job = f", and its job {run.job} has not ended" if run.has_job else ""
            raise StoreError(f"Run {run_id} is {run.status}{with_job}.")
        with self._database.write() as connection:
            found = find_by_id(self._database, run_id)
            if read_run(self._database, found.key).status != run.status:
                raise StoreError(f"Run {run_id} is no longer {run.status}. Try again.")
            put_last_in_queue(connection, found.key)

    def remove(self, run_id: str) -> None:
        """Remove a run from the queue: it becomes ``stopped`` and can be resumed.

        Raises:
            StoreError: when it is not queued.
        """
        with self._changing(run_id) as (connection, key, _):
            connection.execute(
                "UPDATE runs SET status = 'stopped', queue_position = NULL, queue_held = 0 "
                "WHERE key = ?",
                [key],
            )

    def hold(self, run_id: str, *, is_held: bool = True) -> None:
        """Hold or release a queued run.

        Raises:
            StoreError: when it is not queued.
        """
        with self._changing(run_id) as (connection, key, _):
            connection.execute("UPDATE runs SET queue_held = ? WHERE key = ?", [int(is_held), key])

    def move(self, run_id: str, places: int) -> None:
        """Swap a queued run with the next one (1) or the previous one (−1).

        Raises:
            StoreError: when it is not queued.
        """
        with self._changing(run_id) as (connection, key, position):
            sign, order = (">", "ASC") if places > 0 else ("<", "DESC")
            other = connection.execute(
                "SELECT key, queue_position FROM runs WHERE status = 'queued' "
                f"AND trashed_at IS NULL AND queue_position {sign} ? "
                f"ORDER BY queue_position {order} LIMIT 1",
                [position],
            ).fetchone()
            if other is None:
                return
            put = "UPDATE runs SET queue_position = ? WHERE key = ?"
            connection.execute(put, [other[1], key])
            connection.execute(put, [position, other[0]])

    def mark_unlaunched(self, run_id: str, why: str) -> None:
        """Record that a queued run could not be started."""
        found = find_by_id(self._database, run_id)
        with self._database.write() as connection:
            changed = connection.execute(
                "UPDATE runs SET status = 'failed', error = ?, queue_position = NULL "
                "WHERE key = ? AND status = 'queued'",
                [why, found.key],
            )
            if changed.rowcount:
                note_end(connection, found.key, launch=str(time.time()))

    @contextlib.contextmanager
    def _changing(self, run_id: str) -> Iterator[tuple[sqlite3.Connection, int, float]]:
        """Open a write transaction on a queued run for the block; yield its key and position too.

        Raises:
            StoreError: when it is not queued here.
        """
        with self._database.write() as connection:
            found = find_by_id(self._database, run_id)
            status, position, has_job = connection.execute(
                "SELECT status, queue_position, job_open FROM runs WHERE key = ?", [found.key]
            ).fetchone()
            if has_job:
                raise StoreError(
                    f"Run {run_id} is queued on a cluster, not in this machine's queue."
                )
            if status != QUEUED:
                raise StoreError(f"Run {run_id} is not queued: it is {status}.")
            yield connection, found.key, float(position)
