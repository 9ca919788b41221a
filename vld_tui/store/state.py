"""The state of a run in its row, between two reads of its events."""

from __future__ import annotations

import sqlite3
from dataclasses import astuple, dataclass, fields
from typing import Final, get_args, get_type_hints

from vld_tui.store.database import Database
from vld_tui.store.kinds import NUMBER, RowKinds


@dataclass
class RunState:
    """The part of a run's row that follows from its events, column by column.

    ``launched_at`` is the time of the last launch, ``past_process`` identifies the previous
    process. ``arm`` is how its predictions are made. It collapsed at ``collapsed_step`` and
    recovered at ``recovered_step``. ``target`` is the left-out domain reported by the engine, or
    ``none``; ``data_digest`` changes with its images. ``events_offset`` counts bytes read of the
    event log, ``last_seq`` is the number of the last recorded event.
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


def _kinds(hint: object) -> tuple[type, ...]:
    """Return the types of a field: an int is valid for a float."""
    found = get_args(hint) or (hint,)
    return (*found, *NUMBER) if float in found else found


_KINDS: Final = RowKinds({name: _kinds(hint) for name, hint in get_type_hints(RunState).items()})
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
