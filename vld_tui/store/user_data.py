"""What a person says of a run, in its row and beside it in its folder."""

from __future__ import annotations

from typing import Literal

from engine.rundir import RunDir, UserData
from vld_tui.home import Home
from vld_tui.store.database import Database
from vld_tui.store.errors import StoreError
from vld_tui.store.lookup import find_by_id


def set_label(
    database: Database, home: Home, run_id: str, column: Literal["name", "tags", "note"], value: str
) -> None:
    """Change one label of a run, in both places or in none.

    Raises:
        RunNotFound: when there is no such run.
        StoreError: when it cannot be written.
    """
    try:
        with database.write() as connection:
            found = find_by_id(database, run_id)
            connection.execute(f"UPDATE runs SET {column} = ? WHERE key = ?", [value, found.key])
            write_user_data(database, found.key, found.run_dir(home))
    except OSError as error:
        raise StoreError(f"The labels of run {run_id} cannot be written: {error}.") from None


def write_user_data(database: Database, key: int, run_dir: RunDir) -> None:
    """Write the row's labels into the run folder.

    Raises:
        OSError: when they cannot be written.
    """
    row = database.row(
        "SELECT name, tags, note, created_at, trashed_at FROM runs WHERE key = ?", [key]
    )
    if row is not None:
        name, tags, note, created_at, trashed_at = row
        run_dir.write_user(UserData(name, tuple(tags.split()), note, created_at, trashed_at))
