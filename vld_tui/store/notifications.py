"""Notifications of a home: recorded with the change that causes them, and sent once.

They are recorded in the transaction that records a run's end, by whichever program sees it first,
while notifications are on. A run's copy, or its folder read again, records none.
"""

from __future__ import annotations

import sqlite3
import time
import uuid
from typing import Final

import msgspec

from vld_tui.config import COLLAPSED, ENDINGS, STUDY_DONE, NotifyConfig
from vld_tui.store.columns import RunState, save_state
from vld_tui.store.database import Database
from vld_tui.store.settings import Settings

MOST_TRIES: Final = 2
"""How often sending starts: again once, if it was interrupted."""
KEPT_S: Final = 90 * 86_400.0
"""Age after which a sent notification is deleted."""
INTERRUPTED: Final = "sending it was interrupted twice"


class DueNotification(msgspec.Struct, frozen=True):
    """A notification that this process is to send; ``happened_at`` is in Unix seconds."""

    number: int
    subject: str
    event: str
    run_id: str | None
    study: str | None
    happened_at: float


class SendFailure(msgspec.Struct, frozen=True):
    """A notification that was not sent, and why."""

    event: str
    about: str
    problem: str
    failed_at: float


_COLUMNS: Final = "notification, subject, event, run_id, study, happened_at"
_FAILURES: Final = (
    "SELECT event, coalesce(run_id, study, ''), coalesce(problem, ''), done_at "
    "FROM notifications WHERE status = 'failed'"
)


class Notifications:
    """The notifications of an open history."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database, self._settings = database, settings
        self._name = uuid.uuid4().hex

    @property
    def config(self) -> NotifyConfig:
        """Return whom to notify of what."""
        return self._settings.section(NotifyConfig)

    def are_due(self) -> bool:
        """Return whether any is to be sent."""
        found = self._database.row(
            "SELECT 1 FROM notifications INDEXED BY due_notifications WHERE status = 'due' LIMIT 1"
        )
        return found is not None

    def release(self) -> None:
        """Make those due again that a dead process was sending: call it only while no other
        process sends."""
        with self._database.write() as connection:
            connection.execute("UPDATE notifications SET sender = NULL WHERE status = 'due'")

    def claim(self) -> DueNotification | None:
        """Return the oldest one that nothing else is sending, to be sent by the caller.

        One that was not settled is returned again; at the end of its tries, it has failed. See
        :meth:`count_try`.
        """
        if not self.are_due():
            return None
        mine = "status = 'due' AND (sender IS NULL OR sender = ?)"
        with self._database.write() as connection:
            connection.execute(
                "UPDATE notifications SET status = 'failed', sender = NULL, done_at = ?, "
                f"problem = ? WHERE {mine} AND tries >= ?",
                [time.time(), INTERRUPTED, self._name, MOST_TRIES],
            )
            row = connection.execute(
                f"SELECT {_COLUMNS} FROM notifications WHERE {mine} ORDER BY notification LIMIT 1",
                [self._name],
            ).fetchone()
            if row is None:
                return None
            connection.execute(
                "UPDATE notifications SET sender = ? WHERE notification = ?", [self._name, row[0]]
            )
        return DueNotification(*row)

    def count_try(self, due: DueNotification) -> None:
        """Record that sending one starts now."""
        with self._database.write() as connection:
            connection.execute(
                "UPDATE notifications SET tries = tries + 1 WHERE notification = ?", [due.number]
            )

    def settle(self, due: DueNotification, status: str, problem: str | None = None) -> None:
        """Record that one was ``sent``, ``failed`` or ``dropped``; delete those of long ago."""
        now = time.time()
        with self._database.write() as connection:
            connection.execute(
                "UPDATE notifications SET status = ?, sender = NULL, done_at = ?, problem = ? "
                "WHERE notification = ?",
                [status, now, problem, due.number],
            )
            connection.execute(
                "DELETE FROM notifications WHERE status <> 'due' AND done_at < ?", [now - KEPT_S]
            )

    def drop_all(self) -> None:
        """Drop those that are due, since notifications were turned off."""
        with self._database.write() as connection:
            connection.execute(
                "UPDATE notifications SET status = 'dropped', sender = NULL, done_at = ? "
                "WHERE status = 'due'",
                [time.time()],
            )

    def note_study(self, name: str, state: str) -> None:
        """Record that a study is done; once for each ``state`` of its runs."""
        with self._database.write() as connection:
            _add(connection, f"{STUDY_DONE} {name} {state}", STUDY_DONE, time.time(), study=name)

    def last_failure(self) -> SendFailure | None:
        """Return the last one that was not sent, unless a later one was."""
        row = self._database.row(
            f"{_FAILURES} AND done_at >= coalesce((SELECT max(done_at) FROM notifications "
            "WHERE status = 'sent'), 0) ORDER BY done_at DESC LIMIT 1"
        )
        return None if row is None else SendFailure(*row)

    def failures_of(self, run_id: str) -> list[SendFailure]:
        """Return those of a run that were not sent, oldest first."""
        rows = self._database.rows(f"{_FAILURES} AND run_id = ? ORDER BY done_at", [run_id])
        return [SendFailure(*row) for row in rows]

    def take_failures(self) -> list[SendFailure]:
        """Return failures that were not reported yet, and mark them as reported."""
        condition = "status = 'failed' AND is_reported = 0"
        unreported = f"SELECT 1 FROM notifications WHERE {condition} LIMIT 1"
        if self._database.is_read_only or self._database.row(unreported) is None:
            return []
        with self._database.write() as connection:
            rows = connection.execute(f"{_FAILURES} AND is_reported = 0 ORDER BY done_at")
            found = [SendFailure(*row) for row in rows.fetchall()]
            connection.execute(f"UPDATE notifications SET is_reported = 1 WHERE {condition}")
        return found


def save_news(connection: sqlite3.Connection, key: int, state: RunState) -> None:
    """Save a run's state, inside the open transaction, and record what has to be notified.

    The events are those between the state that the row has and the new one.
    """
    before = _before(connection, key)
    save_state(connection, key, state)
    if before is None:
        return
    run_id, status, attempts, collapsed_step = before
    about = f"{run_id} {state.attempts}"
    if (
        state.collapsed_step is not None
        and state.recovered_step is None
        and state.collapsed_step != collapsed_step
        and _is_on(connection)
    ):
        at = state.last_event_at or time.time()
        _add(connection, f"{about} {COLLAPSED}", COLLAPSED, at, run_id=run_id)
    if (state.status, state.attempts) != (status, attempts):
        ended_at = None if state.status == "crashed" else state.last_event_at
        note_end(connection, key, happened_at=ended_at)


def note_end(
    connection: sqlite3.Connection,
    key: int,
    *,
    happened_at: float | None = None,
    launch: str | None = None,
) -> None:
    """Record, inside the open transaction, that a run has ended, if its status says so.

    ``launch`` identifies the launch of a queued run that failed before a process was started.
    """
    row = connection.execute(
        "SELECT run_id, status, attempts, launched_at FROM runs WHERE key = ?", [key]
    ).fetchone()
    if row is None or row[1] not in ENDINGS or not _is_on(connection):
        return
    run_id, status, attempts, launched_at = row
    subject = f"{run_id} {attempts} {status} {launched_at}" + (f" {launch}" if launch else "")
    _add(connection, subject, status, happened_at or time.time(), run_id=run_id)


def _before(connection: sqlite3.Connection, key: int) -> tuple[str, str, int, int | None] | None:
    row = connection.execute(
        "SELECT run_id, status, attempts, collapsed_step FROM runs WHERE key = ?", [key]
    ).fetchone()
    return None if row is None else (row[0], row[1], row[2], row[3])


def _is_on(connection: sqlite3.Connection) -> bool:
    """Return whether anyone is notified."""
    row = connection.execute("SELECT value FROM settings WHERE name = 'notify'").fetchone()
    if row is None:
        return False
    try:
        return msgspec.json.decode(row[0], type=NotifyConfig).is_on
    except msgspec.DecodeError:
        return False


def _add(
    connection: sqlite3.Connection,
    subject: str,
    event: str,
    happened_at: float,
    *,
    run_id: str | None = None,
    study: str | None = None,
) -> None:
    connection.execute(
        "INSERT OR IGNORE INTO notifications (subject, event, run_id, study, happened_at) "
        "VALUES (?, ?, ?, ?, ?)",
        [subject, event, run_id, study, happened_at],
    )
