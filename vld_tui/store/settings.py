"""Settings of a home by name."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from vld_tui.config import SECTIONS
from vld_tui.store.database import Database

Value = TypeVar("Value")
Section = TypeVar("Section", bound=msgspec.Struct)
_NAMES = {struct: name for name, struct in SECTIONS.items()}


class Settings:
    """The settings of a home, stored in its history."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str, kind: type[Value], default: Value) -> Value:
        """Return a setting, or the default if it is unset or has another type."""
        row = self._database.row("SELECT value FROM settings WHERE name = ?", [name])
        if row is None:
            return default
        try:
            return msgspec.json.decode(row[0], type=kind)
        except msgspec.DecodeError:
            return default

    def section(self, kind: type[Section]) -> Section:
        """Return a section of the configuration, with the defaults of what is unset or invalid."""
        return self.get(_NAMES[kind], kind, kind())

    def set_in_section(self, kind: type[msgspec.Struct], changes: dict[str, Any]) -> None:
        """Change some settings of a section; None unsets one. The others are kept."""

        def changed(before: dict[str, Any]) -> dict[str, Any]:
            after = before | changes
            return {name: value for name, value in after.items() if value is not None}

        self.change(_NAMES[kind], dict[str, Any], {}, changed)

    def change(
        self, name: str, kind: type[Value], default: Value, change: Callable[[Value], Value]
    ) -> None:
        """Change a setting based on its current value, keeping concurrent changes."""
        with self._database.write() as connection:
            _put(connection, name, change(self.get(name, kind, default)))

    def put(self, name: str, value: object) -> None:
        """Store a setting."""
        with self._database.write() as connection:
            _put(connection, name, value)


def _put(connection: sqlite3.Connection, name: str, value: object) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO settings VALUES (?, ?)", [name, msgspec.json.encode(value).decode()]
    )
