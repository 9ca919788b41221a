"""Fast read-only access to a history, for completion."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from vld_tui.store.database import connect_to_read
from vld_tui.store.errors import StoreError
from vld_tui.store.fields import QUERY_FIELDS

MOST: Final = 200
"""Maximum runs and values considered."""


def glance_at_runs(database: Path, prefix: str, condition: str) -> list[tuple[str, str, str]]:
    """Return id, name and status of the newest runs whose id or name starts with ``prefix``; empty
    if they cannot be read.

    ``condition`` is an SQL expression over a run's row.
    """
    return _read(
        database,
        f"SELECT run_id, name, status FROM runs WHERE ({condition}) "
        "AND (substr(run_id, 1, length(?1)) = ?1 OR substr(name, 1, length(?1)) = ?1) "
        f"ORDER BY created_at DESC LIMIT {MOST}",
        [prefix],
    )


def glance_at_values(database: Path, name: str, *, of: tuple[str, str] | None = None) -> list[str]:
    """Return the runs' values of a field, latest first.

    ``of``: a field and the value that it must have.
    """
    condition = "TRUE" if of is None else f"{QUERY_FIELDS[of[0]].sql} = ?"
    rows = _read(
        database,
        f"SELECT {QUERY_FIELDS[name].sql} AS value FROM runs WHERE {condition} "
        "AND value <> '' AND trashed_at IS NULL "
        f"GROUP BY value ORDER BY max(key) DESC LIMIT {MOST}",
        [] if of is None else [of[1]],
    )
    return [str(value) for (value,) in rows]


def _read(database: Path, sql: str, parameters: Sequence[str]) -> list[Any]:
    if not database.is_file():
        return []
    try:
        with contextlib.closing(connect_to_read(database)) as connection:
            return connection.execute(sql, parameters).fetchall()
    except (sqlite3.Error, StoreError, OSError):
        return []
