"""Copy a run's rows from one database to another."""

from __future__ import annotations

import sqlite3
from typing import Final

from vld_tui.store.database import Database

_OF_RUN: Final = ("series", "attempts", "checkpoints", "arms")
"""The tables whose first column is the key of a run."""


def replace_run(
    source: Database, run_id: str, connection: sqlite3.Connection, key: int | None
) -> int:
    """Replace a run's rows inside the open transaction and return its key: ``key``, or a new one.

    Raises:
        StoreError: when the source cannot be read.
    """
    columns = ", ".join(name for _, name, *_ in source.rows("PRAGMA table_info(runs)")[1:])
    found = source.rows(f"SELECT key, {columns} FROM runs WHERE run_id = ?", [run_id])
    (old_key, *values), *_ = found
    connection.execute("DELETE FROM runs WHERE run_id = ?", [run_id])
    new_key = connection.execute(
        f"INSERT INTO runs (key, {columns}) VALUES (?{', ?' * len(values)})", [key, *values]
    ).lastrowid
    if new_key is None:
        raise AssertionError("an inserted row has a key")
    for table in _OF_RUN:
        width = len(source.rows(f"PRAGMA table_info({table})"))
        connection.executemany(
            f"INSERT INTO {table} VALUES (?{', ?' * (width - 1)})",
            (
                (new_key, *row[1:])
                for row in source.each(f"SELECT * FROM {table} WHERE run = ?", [old_key])
            ),
        )
    return new_key
