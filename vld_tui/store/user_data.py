"""A user's labels of a run, in its row and in its folder."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import msgspec

from engine.rundir import RunDir, UserData
from vld_tui.home import Home
from vld_tui.store.database import Database, Row
from vld_tui.store.errors import StoreError
from vld_tui.store.kinds import is_sound, is_time
from vld_tui.store.labels import check_tags
from vld_tui.store.lookup import find_by_id
from vld_tui.store.side_by_side import side_by_side

TagChange = Callable[[tuple[str, ...]], Sequence[str]]
"""Returns a run's tags after a change, from those before."""


def set_label(
    database: Database, home: Home, run_id: str, column: Literal["name", "tags", "note"], value: str
) -> None:
    """Change one label of a run, in both places or neither.

    Raises:
        RunNotFound: for an unknown run.
        StoreError: when it cannot be written.
    """
    try:
        with database.write() as connection:
            found = find_by_id(database, run_id)
            connection.execute(f"UPDATE runs SET {column} = ? WHERE key = ?", [value, found.key])
            write_user_data(database, found.key, found.run_dir(home))
    except OSError as error:
        raise StoreError(f"Cannot write the labels of run {run_id}: {error}.") from None


def change_tags(database: Database, home: Home, run_id: str, change: TagChange) -> tuple[str, ...]:
    """Change a run's tags based on their current value, and return the new ones.

    Raises:
        RunNotFound: for an unknown run.
        StoreError: for an unusable tag, or when it cannot be written.
    """
    try:
        with database.write() as connection:
            found = find_by_id(database, run_id)
            query = "SELECT name, tags, note, created_at, NULL FROM runs WHERE key = ?"
            row = connection.execute(query, [found.key]).fetchone()
            before = _as_user(row, found.run_dir(home).read_user()).tags
            tags = tuple(dict.fromkeys(change(before)))
            check_tags([tag for tag in tags if tag not in before])
            connection.execute(
                "UPDATE runs SET tags = ? WHERE key = ?", [" ".join(tags), found.key]
            )
            write_user_data(database, found.key, found.run_dir(home))
    except OSError as error:
        raise StoreError(f"Cannot write the tags of run {run_id}: {error}.") from None
    return tags


def add_tag(database: Database, home: Home, run_ids: Sequence[str], tag: str) -> None:
    """Add a tag to runs that are not in the trash.

    Raises:
        StoreError: when it cannot be written; the database is then as it was.
    """
    try:
        with database.write() as connection:
            users = dict(_with_tag(connection, home, run_ids, tag))
            connection.executemany(
                "UPDATE runs SET tags = ? WHERE run_id = ?",
                [(" ".join(user.tags), run_dir.run_id) for run_dir, user in users.items()],
            )
            side_by_side(lambda each: _write_where_it_is(*each), list(users.items()))
    except OSError as error:
        raise StoreError(f"Cannot write the tag {tag}: {error}.") from None


def _with_tag(
    connection: sqlite3.Connection, home: Home, run_ids: Sequence[str], tag: str
) -> Iterator[tuple[RunDir, UserData]]:
    for run_id in run_ids:
        row = connection.execute(
            "SELECT name, tags, note, created_at FROM runs WHERE run_id = ? AND trashed_at IS NULL",
            [run_id],
        ).fetchone()
        if row is None:
            continue
        run_dir = home.run_dir(run_id)
        user = _as_user((*row, None), run_dir.read_user())
        if tag not in user.tags:
            yield run_dir, msgspec.structs.replace(user, tags=(*user.tags, tag))


def _write_where_it_is(run_dir: RunDir, user: UserData) -> None:
    with contextlib.suppress(FileNotFoundError):  # the folder was deleted
        run_dir.write_user(user)


def write_user_data(database: Database, key: int, run_dir: RunDir) -> None:
    """Write the row's labels into the run folder.

    Raises:
        OSError: when they cannot be written.
    """
    row = database.row(
        "SELECT name, tags, note, created_at, trashed_at FROM runs WHERE key = ?", [key]
    )
    if row is not None:
        run_dir.write_user(_as_user(row, run_dir.read_user()))


def _as_user(row: Row, before: UserData) -> UserData:
    """Return the labels of a row; where that is damaged, those that the folder has."""
    name, tags, note, created_at, trashed_at = row
    return UserData(
        name if is_sound(name) else before.name,
        tuple(tags.split()) if is_sound(tags) else before.tags,
        note if is_sound(note) else before.note,
        created_at if is_time(created_at) else before.created_at,
        trashed_at if is_time(trashed_at) else None,
    )
