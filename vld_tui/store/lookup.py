"""Find a run by id, prefix, name or ``@last``, in the history or among the run folders; and what
completes a word, read fast.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engine.protocol import nearest
from engine.rundir import RunDir
from vld_tui.home import Home
from vld_tui.runs.run import END_LENGTH, name_suffix
from vld_tui.store.database import Database, connect_to_read
from vld_tui.store.errors import AmbiguousRun, RunNotFound, StoreError
from vld_tui.store.fields import QUERY_FIELDS

LAST: Final = "@last"
_CONDITIONS: Final = (
    "run_id = ?1",
    "name = ?1",
    "substr(run_id, 1, length(?1)) = ?1 AND ?1 > ''",
    f"name || ' #' || substr(run_id, -{END_LENGTH}) = ?1",
)
"""What a reference may be, in this order: an id, a name, the start of an id, a shown name."""
_SHOWN: Final = 10
_CONSIDERED: Final = 1000
"""How many of the newest runs are searched for similar names."""
_MOST_GLANCED: Final = 200
"""Maximum runs and values read to complete a word."""


@dataclass(frozen=True)
class Found:
    """A run's key in the database, its id, and where its folder is."""

    key: int
    run_id: str
    is_trashed: bool

    def run_dir(self, home: Home) -> RunDir:
        """Return the run's folder."""
        return home.trashed_run_dir(self.run_id) if self.is_trashed else home.run_dir(self.run_id)


def find_by_id(database: Database, run_id: str) -> Found:
    """Return the run with exactly this id.

    Raises:
        RunNotFound: when none matches.
    """
    found = _find(database, "run_id = ?", run_id)
    if not found:
        raise RunNotFound(f"No run {run_id!r}.")
    return found[0]


def find(database: Database, reference: str, *, in_trash: bool = False) -> Found:
    """Return the run with this id, name, or start of an id; ``@last`` is the newest,
    ``NAME #abcd`` the run of that name whose id ends with ``abcd``.

    Runs that are not in the trash are preferred; with ``in_trash``, those in the trash, and
    ``@last`` is the last trashed one.

    Raises:
        RunNotFound: when there is none, with the nearest names.
        AmbiguousRun: when there are several, with their ids.
    """
    if reference.startswith("@"):
        return _find_last(database, reference, in_trash=in_trash)
    if not is_text(reference):
        raise RunNotFound(f"No run {reference!r}: not valid text.")
    for condition in _CONDITIONS:
        matches = _find(database, condition, reference)
        kept = [match for match in matches if match.is_trashed is in_trash] or matches
        if len(kept) == 1:
            return kept[0]
        if kept:
            raise AmbiguousRun(_ambiguous(reference, kept))
    known = database.rows(
        "SELECT run_id, name FROM runs ORDER BY created_at DESC LIMIT ?", [_CONSIDERED]
    )
    names = dict.fromkeys(word for words in known for word in words if isinstance(word, str))
    hint = nearest(reference, names) or (" List runs: vld ls" if known else " No runs yet.")
    raise RunNotFound(f"No run {reference!r}.{hint}")


def _find(database: Database, condition: str, value: str) -> list[Found]:
    rows = database.rows(
        f"SELECT key, run_id, trashed_at IS NOT NULL FROM runs WHERE {condition} "
        "ORDER BY created_at DESC, key DESC",
        [value],
    )
    return [Found(key, run_id, bool(is_trashed)) for key, run_id, is_trashed in rows]


def _find_last(database: Database, reference: str, *, in_trash: bool) -> Found:
    if reference != LAST:
        raise RunNotFound(f"No run {reference!r}.{nearest(reference, [LAST])}")
    condition, moment = ("IS NOT NULL", "trashed_at") if in_trash else ("IS NULL", "created_at")
    row = database.row(
        f"SELECT key, run_id FROM runs WHERE trashed_at {condition} "
        f"ORDER BY {moment} DESC, key DESC LIMIT 1"
    )
    if row is None:
        raise RunNotFound("The trash is empty." if in_trash else "No runs yet.")
    return Found(row[0], row[1], is_trashed=in_trash)


def _ambiguous(reference: str, matches: list[Found]) -> str:
    ids = ", ".join(match.run_id for match in matches[:_SHOWN])
    more = f" and {len(matches) - _SHOWN} more" if len(matches) > _SHOWN else ""
    return f"{reference!r} matches {len(matches)} runs: {ids}{more}. Use an id."


def is_text(value: str) -> bool:
    """Return whether a string is valid text, without bytes that could not be decoded."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def run_ids(home: Home) -> Iterator[str]:
    """Yield the names of the run folders that are not in the trash.

    Raises:
        StoreError: when they cannot be listed.
    """
    try:
        with os.scandir(home.runs) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and entry.is_dir() and is_text(entry.name):
                    yield entry.name
    except FileNotFoundError:  # the home does not exist yet
        return
    except OSError as error:
        raise StoreError(f"Cannot list {home.runs}: {error.strerror}.") from None


def folders_meant(home: Home, reference: str) -> list[str]:
    """Return the folders of the runs that a reference matches: id, unique prefix, name or
    ``@last``.

    Raises:
        StoreError: when the folders cannot be listed.
    """
    known = sorted(run_ids(home))
    if reference == LAST:
        return known[-1:]
    if reference in known:
        return [reference]
    names = {run_id: home.run_dir(run_id).read_user().name for run_id in known}
    named = [run_id for run_id, name in names.items() if name == reference] or [
        run_id for run_id, name in names.items() if f"{name}{name_suffix(run_id)}" == reference
    ]
    return named or [run_id for run_id in known if reference and run_id.startswith(reference)]


def glance_at_runs(database: Path, prefix: str, condition: str) -> list[tuple[str, str, str]]:
    """Return id, name and status of the newest runs whose id or name starts with ``prefix``; empty
    if they cannot be read.

    ``condition`` is an SQL expression over a run's row.
    """
    return _read(
        database,
        f"SELECT run_id, name, status FROM runs WHERE ({condition}) "
        "AND (substr(run_id, 1, length(?1)) = ?1 OR substr(name, 1, length(?1)) = ?1) "
        f"ORDER BY created_at DESC LIMIT {_MOST_GLANCED}",
        [prefix],
    )


def glance_at_values(database: Path, name: str, *, of: tuple[str, str] | None = None) -> list[str]:
    """Return the runs' values of a field, latest first.

    ``of``: a field and the value that it must have.
    """
    condition = "TRUE" if of is None else f"{QUERY_FIELDS[of[0]].sql} = ?"
    rows = _read(
        database,
        f"SELECT {QUERY_FIELDS[name].sql} AS value FROM runs WHERE {condition} "
        "AND value <> '' AND trashed_at IS NULL "
        f"GROUP BY value ORDER BY max(key) DESC LIMIT {_MOST_GLANCED}",
        [] if of is None else [of[1]],
    )
    return [str(value) for (value,) in rows]


def glance_at_setting(database: Path, name: str) -> str | None:
    """Return the stored text of a setting; None if there is none or it cannot be read."""
    rows = _read(database, "SELECT value FROM settings WHERE name = ?", [name])
    return str(rows[0][0]) if rows else None


def _read(database: Path, sql: str, parameters: Sequence[str]) -> list[Any]:
    if not database.is_file():
        return []
    try:
        with contextlib.closing(connect_to_read(database)) as connection:
            return connection.execute(sql, parameters).fetchall()
    except (sqlite3.Error, StoreError, OSError):
        return []
