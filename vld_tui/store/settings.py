"""Settings of a home by name."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TypeVar

import msgspec

from vld_tui.store.database import Database

Value = TypeVar("Value")


def read_setting(database: Database, name: str, kind: type[Value], default: Value) -> Value:
    """Return a setting, or the default if it is unset or has another type.

    Raises:
        StoreError: when the database cannot be read.
    """
    row = database.row("SELECT value FROM settings WHERE name = ?", [name])
    if row is None:
        return default
    try:
        return msgspec.json.decode(row[0], type=kind)
    except msgspec.DecodeError:
        return default


def change_setting(
    database: Database,
    name: str,
    kind: type[Value],
    default: Value,
    change: Callable[[Value], Value],
) -> None:
    """Change a setting based on its current value.

    Raises:
        StoreError: when the database cannot be written.
    """
    with database.write() as connection:
        _put(connection, name, change(read_setting(database, name, kind, default)))


def write_setting(database: Database, name: str, value: object) -> None:
    """Store a setting.

    Raises:
        StoreError: when the database cannot be written.
    """
    with database.write() as connection:
        _put(connection, name, value)


def _put(connection: sqlite3.Connection, name: str, value: object) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO settings VALUES (?, ?)", [name, msgspec.json.encode(value).decode()]
    )
