"""Record new runs."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from engine.protocol import (
    CombinationSpec,
    RunSpec,
    RunTask,
    configuration_identity,
    encode_combination,
    own_arm,
    run_identity,
    spec_of,
)
from engine.rundir import RunDir, UserData
from vld_tui.home import Home
from vld_tui.store.database import Database
from vld_tui.store.errors import StoreError
from vld_tui.store.labels import check_name, check_tags, default_name, new_run_id
from vld_tui.store.queue import enqueue
from vld_tui.store.side_by_side import side_by_side
from vld_tui.store.specs import encode_stored_spec

MADE_AT_ONCE: Final = 100
"""Runs created per transaction, during which other writers wait."""


class _Draft(NamedTuple):
    """A run that is about to be created."""

    run_dir: RunDir
    task: RunTask
    user: UserData


def create_run(
    database: Database,
    home: Home,
    task: RunTask,
    name: str | None,
    tags: Sequence[str],
    *,
    is_queued: bool = False,
) -> str:
    """Create the folder and the row of a new run, optionally queued, and return its id.

    Raises:
        StoreError: for an unusable name or tag, or when folder or row cannot be written.
    """
    now = time.time()
    user = UserData(
        name=default_name(task) if name is None else check_name(name),
        tags=check_tags(tags),
        created_at=now,
    )
    draft = _Draft(_new_run_dir(home, now, ()), task, user)
    _make(database, [draft], is_queued=is_queued)
    return draft.run_dir.run_id


def create_runs(
    database: Database,
    home: Home,
    specs: Sequence[RunSpec],
    tags: Sequence[str],
    *,
    is_queued: bool,
) -> list[str]:
    """Create many runs, optionally queued, and return their ids.

    They are created in batches: on an error, the runs created so far are complete.

    Raises:
        StoreError: for an unusable tag, or when folders or rows cannot be written.
    """
    tags = check_tags(tags)
    made: list[str] = []
    for start in range(0, len(specs), MADE_AT_ONCE):
        drafts: list[_Draft] = []
        taken: set[Path] = set()
        for spec in specs[start : start + MADE_AT_ONCE]:
            now = time.time()
            user = UserData(name=default_name(spec), tags=tags, created_at=now)
            drafts.append(_Draft(_new_run_dir(home, now, taken), spec, user))
            taken.add(drafts[-1].run_dir.path)
        _make(database, drafts, is_queued=is_queued)
        made += [draft.run_dir.run_id for draft in drafts]
    return made


def _new_run_dir(home: Home, now: float, taken: Collection[Path]) -> RunDir:
    """Return the folder of a new id that is not in ``taken``."""
    while True:
        run_id = new_run_id(now)
        run_dir, trashed = home.run_dir(run_id), home.trashed_run_dir(run_id)
        if not (run_dir.path in taken or run_dir.path.exists() or trashed.path.exists()):
            return run_dir


def _make(database: Database, drafts: Sequence[_Draft], *, is_queued: bool) -> None:
    """Create rows and folders, all or none."""
    try:
        with database.write() as connection:
            for run_dir, task, user in drafts:
                key = insert_row(
                    connection, run_dir.run_id, task, user, launched_at=user.created_at
                )
                if is_queued:
                    enqueue(connection, key)
            side_by_side(_make_folder, drafts)
    except BaseException as error:
        for draft in drafts:
            shutil.rmtree(draft.run_dir.path, ignore_errors=True)
        if isinstance(error, OSError):
            first = drafts[0].run_dir.path
            place = first if len(drafts) == 1 else first.parent
            raise StoreError(f"Cannot create {place}: {error.strerror}.") from None
        if isinstance(error, UnicodeEncodeError):
            raise StoreError(f"The run's values must be text: {error.object!r} is not.") from None
        raise


def _make_folder(draft: _Draft) -> None:
    draft.run_dir.create(draft.task, draft.user)


def insert_row(
    connection: sqlite3.Connection,
    run_id: str,
    task: RunTask,
    user: UserData,
    *,
    launched_at: float,
    key: int | None = None,
) -> int:
    """Add the row of a run without events and return its key (None: a new key)."""
    spec = spec_of(task)
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
            own_arm(task),
            spec.target,
            launched_at,
            encode_combination(task.combination).decode()
            if isinstance(task, CombinationSpec)
            else None,
            run_identity(task),
            configuration_identity(task),
        ],
    )
    if cursor.lastrowid is None:
        raise AssertionError("an inserted row has a key")
    return cursor.lastrowid
