"""Record new runs."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Sequence

from engine.protocol import (
    Combination,
    RunSpec,
    configuration_identity,
    encode_combination,
    own_arm,
    run_identity,
)
from engine.rundir import UserData
from vld_tui.home import Home
from vld_tui.store.database import Database
from vld_tui.store.errors import StoreError
from vld_tui.store.labels import check_name, check_tags, default_name, new_run_id
from vld_tui.store.queue import enqueue
from vld_tui.store.specs import encode_stored_spec


def create_run(
    database: Database,
    home: Home,
    spec: RunSpec,
    name: str | None,
    tags: Sequence[str],
    *,
    combination: Combination | None = None,
    is_queued: bool = False,
) -> str:
    """Make the folder and the row of a new run, at the end of the queue or not; return its id.

    ``combination``: it trains nothing, but combines the networks of other runs.

    Raises:
        StoreError: for an unusable name or tag, or when folder or row cannot be written.
    """
    now = time.time()
    user = UserData(
        name=default_name(spec, combination) if name is None else check_name(name),
        tags=check_tags(tags),
        created_at=now,
    )
    run_id = new_run_id(now)
    while home.run_dir(run_id).path.exists() or home.trashed_run_dir(run_id).path.exists():
        run_id = new_run_id(now)
    run_dir = home.run_dir(run_id)
    try:
        with database.write() as connection:
            key = insert_row(
                connection, run_id, spec, user, combination=combination, launched_at=now
            )
            if is_queued:
                enqueue(connection, key)
            run_dir.create(spec, user, combination)
    except BaseException as error:
        shutil.rmtree(run_dir.path, ignore_errors=True)
        if isinstance(error, OSError):
            raise StoreError(f"{run_dir.path} cannot be made: {error.strerror}.") from None
        if isinstance(error, UnicodeEncodeError):
            raise StoreError(f"The run's values must be text: {error.object!r} is not.") from None
        raise
    return run_id


def insert_row(
    connection: sqlite3.Connection,
    run_id: str,
    spec: RunSpec,
    user: UserData,
    *,
    combination: Combination | None,
    launched_at: float,
    key: int | None = None,
) -> int:
    """Add the row of a run that has said nothing yet, and return its key; None: a new one."""
    cursor = connection.execute(
        "INSERT INTO runs (key, run_id, name, tags, note, created_at, trashed_at, spec, arm, "
        "target, launched_at, combination, identity, configuration, status) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'starting')",
        [
            key,
            run_id,
            user.name,
            " ".join(user.tags),
            user.note,
            user.created_at,
            user.trashed_at,
            encode_stored_spec(spec),
            own_arm(spec, combination),
            spec.target,
            launched_at,
            None if combination is None else encode_combination(combination).decode(),
            run_identity(spec, combination),
            configuration_identity(spec, combination),
        ],
    )
    if cursor.lastrowid is None:
        raise AssertionError("an inserted row has a key")
    return cursor.lastrowid
