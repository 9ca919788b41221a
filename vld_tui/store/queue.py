"""The queue: order, holds, removal."""

from __future__ import annotations

import sqlite3

from vld_tui.store.database import Database
from vld_tui.store.errors import StoreError
from vld_tui.store.lookup import Found

_APPEND = """
    UPDATE runs SET status = 'queued', queue_held = 0, gpu = NULL, error = NULL, exit_code = NULL,
        queue_position = (
            SELECT coalesce(max(queue_position), 0) + 1 FROM runs WHERE status = 'queued'
        )
    WHERE key = ?
"""


def enqueue(connection: sqlite3.Connection, key: int) -> None:
    """Put a run at the end of the queue, inside the transaction that is open."""
    connection.execute(_APPEND, [key])


def take_out(database: Database, found: Found) -> None:
    """Remove a run from the queue: it becomes ``stopped`` and can be resumed.

    Raises:
        StoreError: when it is not queued.
    """
    with database.write() as connection:
        _refuse_others(connection, found)
        connection.execute(
            "UPDATE runs SET status = 'stopped', queue_position = NULL, queue_held = 0 "
            "WHERE key = ?",
            [found.key],
        )


def hold(database: Database, found: Found, *, is_held: bool) -> None:
    """Hold or release a queued run.

    Raises:
        StoreError: when it is not queued.
    """
    with database.write() as connection:
        _refuse_others(connection, found)
        connection.execute(
            "UPDATE runs SET queue_held = ? WHERE key = ?", [int(is_held), found.key]
        )


def move(database: Database, found: Found, places: int) -> None:
    """Swap a queued run with the next one (1) or the previous one (−1).

    Raises:
        StoreError: when it is not queued.
    """
    with database.write() as connection:
        position = _refuse_others(connection, found)
        sign, order = (">", "ASC") if places > 0 else ("<", "DESC")
        other = connection.execute(
            "SELECT key, queue_position FROM runs WHERE status = 'queued' AND trashed_at IS NULL "
            f"AND queue_position {sign} ? ORDER BY queue_position {order} LIMIT 1",
            [position],
        ).fetchone()
        if other is None:
            return
        put = "UPDATE runs SET queue_position = ? WHERE key = ?"
        connection.execute(put, [other[1], found.key])
        connection.execute(put, [position, other[0]])


def _refuse_others(connection: sqlite3.Connection, found: Found) -> float:
    """Return a queued run's position, or raise if it is not queued."""
    status, position, has_job = connection.execute(
        "SELECT status, queue_position, job_open FROM runs WHERE key = ?", [found.key]
    ).fetchone()
    if has_job:
        raise StoreError(f"Run {found.run_id} is queued on a cluster, not in this machine's queue.")
    if status != "queued":
        raise StoreError(f"Run {found.run_id} is not queued: it is {status}.")
    return float(position)
