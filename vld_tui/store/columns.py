"""The columns of a run: their types, the state that follows from events, and writing whole rows.

A column that a run shows is a field of :class:`vld_tui.runs.run.Run`, one that its events determine
a field of :class:`RunState`; the statements that read and write them are derived from these.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any, Final, TypeGuard, get_args, get_type_hints

from engine.protocol import (
    CombinationSpec,
    RunTask,
    configuration_identity,
    encode_combination,
    own_arm,
    run_identity,
    spec_of,
)
from engine.rundir import UserData
from vld_tui.store.database import Database
from vld_tui.store.specs import encode_stored_spec

OF_RUN: Final = ("series", "attempts", "checkpoints", "arms")
"""The tables whose first column is the key of a run."""

Kinds = tuple[type, ...]

TEXT: Final[Kinds] = (str,)
WHOLE: Final[Kinds] = (int,)
NUMBER: Final[Kinds] = (float, int)
NOTHING: Final[Kinds] = (type(None),)
LATEST: Final = 2.0**36
"""The latest valid time (Unix seconds), with a four-digit year."""


def kinds_of(hint: object) -> Kinds:
    """Return the types that a column may have for a field: an int is valid for a float."""
    found: Kinds = get_args(hint) or (hint,)
    return (*found, *NUMBER) if float in found else found


class RowKinds:
    """The allowed types of a query's columns, in order.

    SQLite stores any type that another program, or a failing disk, puts into a column.
    """

    def __init__(self, columns: Mapping[str, Kinds]) -> None:
        self.columns: Final = dict(columns)
        self._known: dict[tuple[type, ...], int | None] = {}

    def misfit(self, row: Sequence[Any]) -> str | None:
        """Return the problem with the first value of a wrong type, or None."""
        kinds = tuple(map(type, row))
        if kinds not in self._known:  # few combinations occur
            self._known[kinds] = next(
                (
                    at
                    for at, (kind, allowed) in enumerate(
                        zip(kinds, self.columns.values(), strict=True)
                    )
                    if kind not in allowed
                ),
                None,
            )
        at = self._known[kinds]
        if at is None:
            return None
        shown = "nothing" if row[at] is None else repr(row[at])[:40]
        return f"{list(self.columns)[at]} is {shown}"


def is_sound(value: object) -> TypeGuard[str]:
    """Return whether a value is text, and none of it had to be replaced in reading."""
    return isinstance(value, str) and "\ufffd" not in value


def is_time(value: object) -> TypeGuard[float]:
    """Return whether a value can be a time, in Unix seconds."""
    return isinstance(value, float | int) and -LATEST < value < LATEST


@dataclass
class RunState:
    """The part of a run's row that follows from its events, column by column.

    ``launched_at`` is the time of the last launch, ``past_process`` identifies the previous
    process. ``arm`` is how its predictions are made. It collapsed at ``collapsed_step`` and
    recovered at ``recovered_step``. ``target`` is the left-out domain reported by the engine, or
    ``none``; ``data_digest`` changes with its images. ``events_offset`` counts bytes read of the
    event log, ``last_seq`` is the number of the last recorded event. ``phase`` is the reported
    phase as JSON, until another event.
    """

    status: str
    launched_at: float
    arm: str
    past_process: str | None = None
    error: str | None = None
    exit_code: int | None = None
    collapsed_step: int | None = None
    recovered_step: int | None = None
    target: str | None = None
    step: int = 0
    selected_step: int | None = None
    id_accuracy: float | None = None
    ood_accuracy: float | None = None
    domains: str = "{}"
    measures: str = "{}"
    loss: float | None = None
    steps_per_s: float | None = None
    images_per_s: float | None = None
    seconds_left: float | None = None
    wall_s: float | None = None
    pid: int | None = None
    host: str | None = None
    precision: str | None = None
    evaluation_precision: str | None = None
    memory_format: str | None = None
    device: str | None = None
    attempts: int = 0
    last_event_at: float | None = None
    last_seq: int = -1
    events_offset: int = 0
    damaged_lines: int = 0
    data_digest: str = ""
    phase: str | None = None


_KINDS: Final = RowKinds({name: kinds_of(hint) for name, hint in get_type_hints(RunState).items()})
_NAMES: Final = tuple(field.name for field in fields(RunState))
_SELECT: Final = f"SELECT {', '.join(_NAMES)} FROM runs WHERE key = ?"
_UPDATE: Final = f"UPDATE runs SET {', '.join(f'{name} = ?' for name in _NAMES)} WHERE key = ?"


def load_state(database: Database, key: int) -> RunState | None:
    """Return the state of the run with this key, or None if missing or invalid.

    Raises:
        StoreError: when the database cannot be read.
    """
    row = database.row(_SELECT, [key])
    return RunState(*row) if row and _KINDS.misfit(row) is None else None


def save_state(connection: sqlite3.Connection, key: int, state: RunState) -> None:
    """Write the state back."""
    connection.execute(_UPDATE, [*astuple(state), key])


def insert_row(
    connection: sqlite3.Connection,
    run_id: str,
    user: UserData,
    *,
    launched_at: float,
    **columns: object,
) -> int:
    """Add the row of a run with a user's labels and return its key."""
    values = {
        "run_id": run_id,
        "name": user.name,
        "tags": " ".join(user.tags),
        "note": user.note,
        "created_at": user.created_at,
        "trashed_at": user.trashed_at,
        "launched_at": launched_at,
        **columns,
    }
    key = connection.execute(
        f"INSERT INTO runs ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})",
        list(values.values()),
    ).lastrowid
    if key is None:
        raise AssertionError("an inserted row has a key")
    return key


def insert_task(
    connection: sqlite3.Connection,
    run_id: str,
    task: RunTask,
    user: UserData,
    *,
    launched_at: float,
) -> int:
    """Add the row of a run without events and return its key."""
    spec = spec_of(task)
    combination = task.combination if isinstance(task, CombinationSpec) else None
    return insert_row(
        connection,
        run_id,
        user,
        launched_at=launched_at,
        spec=encode_stored_spec(spec),
        arm=own_arm(task),
        target=spec.target,
        combination=None if combination is None else encode_combination(combination).decode(),
        identity=run_identity(task),
        configuration=configuration_identity(task),
        status="starting",
    )


def put_last_in_queue(connection: sqlite3.Connection, key: int) -> None:
    """Put a run at the end of the queue, inside the transaction that is open."""
    connection.execute(
        "UPDATE runs SET status = 'queued', queue_held = 0, gpu = NULL, error = NULL, "
        "exit_code = NULL, queue_position = ("
        "SELECT coalesce(max(queue_position), 0) + 1 FROM runs WHERE status = 'queued'"
        ") WHERE key = ?",
        [key],
    )


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
    for table in OF_RUN:
        width = len(source.rows(f"PRAGMA table_info({table})"))
        connection.executemany(
            f"INSERT INTO {table} VALUES (?{', ?' * (width - 1)})",
            (
                (new_key, *row[1:])
                for row in source.each(f"SELECT * FROM {table} WHERE run = ?", [old_key])
            ),
        )
    return new_key
