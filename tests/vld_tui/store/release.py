"""``python -m tests.vld_tui.store.release``: keep the newest schema, with rows in it, as SQL text.

The rows are those of the version before, taken along by the newest migration. Rows that only the
new schema can hold are for who made the migration to add.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from vld_tui.home import Home, open_home
from vld_tui.store.database import MIGRATIONS
from vld_tui.store.store import Store

RELEASED: Final = Path(__file__).with_name("released")
APPLIED_AT: Final = "2026-01-01 00:00:00+00:00"


def load(home: Home, name: str) -> None:
    """Put the database of an earlier version into the home."""
    with closing(sqlite3.connect(home.database, isolation_level=None)) as connection:
        connection.executescript((RELEASED / f"{name}.sql").read_text())
        connection.execute("PRAGMA journal_mode = WAL")


def newest_dump(folder: Path) -> str:
    """Return the newest schema as SQL text, its rows from a home of the version before."""
    home = open_home(folder)
    load(home, MIGRATIONS[-2])
    Store.open(home).close()
    with closing(sqlite3.connect(home.database)) as connection:
        connection.execute("UPDATE _sqlite_migrations SET applied_at = ?", [APPLIED_AT])
        lines = [*connection.iterdump(), f"PRAGMA user_version = {len(MIGRATIONS)};"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        text = newest_dump(Path(folder) / "home")
    with (RELEASED / f"{MIGRATIONS[-1]}.sql").open("x") as file:  # what is kept stays as it is
        file.write(text)
