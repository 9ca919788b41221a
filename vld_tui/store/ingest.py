"""Update the history from the run folders.

Several processes may do so at once: the data and the read offset change in one transaction, which
reads the old offset itself.
"""

from __future__ import annotations

import math
import socket
import sqlite3
import time
from contextlib import suppress
from typing import Final

from engine.protocol import AttemptEnd, RunFinished
from engine.rundir import ProcessInfo, RunDir
from engine.rundir.life import (
    HEARTBEAT_INTERVAL_S,
    HEARTBEAT_STALE_S,
    end_of,
    exit_since,
    is_alive,
    last_sign_of_life,
    now_of,
    with_log,
)
from vld_tui.home import Home
from vld_tui.runs.run import LIVE, Run
from vld_tui.runs.run_folder import BATCH_BYTES, EventBatch, read_events
from vld_tui.store.columns import OF_RUN, RunState, load_state, save_state
from vld_tui.store.database import Database
from vld_tui.store.errors import (
    DatabaseLocked,
    DatabaseUnwritable,
    SeriesDamaged,
    StoreError,
    is_trashed,
)
from vld_tui.store.lookup import Found, find_by_id
from vld_tui.store.notifications import save_news
from vld_tui.store.record import EventRecorder, in_sequence
from vld_tui.store.rows import read_run, read_runs

LAUNCH_GRACE_S: Final = 30.0
"""How long a recorded run may be without a process before its launch."""
LOST_S: Final = 2 * 86_400.0
"""Age up to which a run that seems dead is still checked: its host may have lost contact, or its
process may be suspended."""


class Pace:
    """When each run on another host was last checked: its folder is on a shared disk, and its
    heartbeats are seconds apart."""

    def __init__(self) -> None:
        self._looked_at: dict[int, float] = {}

    def is_due(self, key: int, host: str | None) -> bool:
        """Return whether a run is due to be checked, and record the check."""
        if host in (None, socket.gethostname()):
            return True
        now = time.monotonic()
        if now - self._looked_at.get(key, -math.inf) < HEARTBEAT_INTERVAL_S:
            return False
        self._looked_at[key] = now
        return True


class LiveRuns:
    """Updates the runs of an open history from their folders while they have a process."""

    may_use_copy = False
    """Only updates from run folders are expected, so a copy of the database is sufficient."""

    def __init__(self, database: Database, home: Home) -> None:
        self._database, self._home = database, home
        self._pace = Pace()

    def runs(self) -> list[Run]:
        """Return the runs that should have a process, oldest first."""
        live = "SELECT key FROM runs INDEXED BY live_runs WHERE status IN ('starting', 'running')"
        where = f"key IN ({live}) AND trashed_at IS NULL"
        return read_runs(self._database, where, order="launched_at")

    def are_any(self) -> bool:
        """Return whether any run should have a process, apart from copies of other homes' runs."""
        live = self._database.rows(
            "SELECT run_id FROM runs INDEXED BY live_runs "
            "WHERE status IN ('starting', 'running') AND trashed_at IS NULL"
        )
        return any(not self._home.run_dir(run_id).is_copy for (run_id,) in live)

    def refresh(self) -> None:
        """Read new events of runs that should have a process, or unexpectedly have one, and detect
        runs that died.

        Runs on other hosts are checked only when they are due.
        """
        database, home = self._database, self._home
        if database.is_read_only:
            return
        lost = database.rows(
            "SELECT key, run_id, events_offset FROM runs INDEXED BY lost_runs "
            "WHERE created_at > ? "
            "AND status = 'crashed' AND exit_code IS NULL AND trashed_at IS NULL",
            [time.time() - LOST_S],
        )
        given_to_jobs = database.rows(
            "SELECT key, run_id, events_offset, job_node FROM runs INDEXED BY open_jobs WHERE "
            "job_open = 1 AND job_state <> 'PENDING' AND status NOT IN ('starting', 'running')"
        )
        due = [row[:3] for row in given_to_jobs if self._pace.is_due(row[0], row[3])]
        for key, run_id, offset in (*lost, *due):
            if _has_more(home.run_dir(run_id), offset):
                refresh_run(database, key, home.run_dir(run_id))
        live = database.rows(
            "SELECT key, run_id, host FROM runs INDEXED BY live_runs "
            "WHERE status IN ('starting', 'running') AND trashed_at IS NULL"
        )
        for key, run_id, host in live:
            if self._pace.is_due(key, host):
                with suppress(SeriesDamaged):  # reported where they are shown
                    refresh_run(database, key, home.run_dir(run_id))

    def look_again(self, found: Found) -> None:
        """Update a run from its folder in any state, in a copy if the database cannot be
        written."""
        if found.is_trashed or self._database.is_read_only:
            return
        try:
            _look_again(self._database, found.key, found.run_dir(self._home))
        except (DatabaseLocked, DatabaseUnwritable):
            if not self.may_use_copy:
                raise
            self.work_on_copy()
            _look_again(self._database, found.key, found.run_dir(self._home))

    def read_diagnoses(self, run_id: str) -> Run:
        """Read the results of diagnostics in a run's folder, and return the run.

        Raises:
            StoreError: when the database cannot be written.
        """
        found = find_by_id(self._database, run_id)
        with self._database.write() as connection:
            state = load_state(self._database, found.key)
            if state is not None:
                recorder = EventRecorder(connection, found.key, state)
                _record_diagnoses(recorder, found.run_dir(self._home))
                save_state(connection, found.key, recorder.state)
        return read_run(self._database, found.key)

    def work_on_copy(self) -> None:
        """Switch to a copy of the database in memory, because it cannot be written.

        The copy is updated from the run folders like the database, and discarded at the end.

        Raises:
            StoreError: when the database cannot be read, or is too large to be copied.
        """
        self._database.become_copy()
        self._pace = Pace()

    def mark_relaunched(self, run_id: str, *, gpu: str | None = None) -> Run:
        """Set an ended or queued run to ``starting``, expecting events of a new attempt.

        Call it when a process is launched on its folder, just before or just after. ``gpu`` is
        the one it was given.
        """
        found = find_by_id(self._database, run_id)
        if found.is_trashed:
            raise StoreError(is_trashed(run_id))
        _mark_relaunched(self._database, found.key, found.run_dir(self._home), gpu)
        return read_run(self._database, found.key)


def refresh_run(database: Database, key: int, run_dir: RunDir) -> None:
    """Read a run's folder since the last read.

    Nothing is written without news; damaged files are not an error.

    Raises:
        StoreError: when the database cannot be read or written.
    """
    seen = load_state(database, key)
    if seen is None:
        return
    is_live = seen.status in LIVE
    death = _find_death(run_dir, seen) if is_live else None  # first: no event follows it
    if death is None and not _has_news(run_dir, seen):
        return
    is_last = False
    while not is_last:  # others may write between two batches
        with database.write() as connection:
            current = load_state(database, key)
            if current is None:
                return
            has_died = bool(death and current.launched_at == seen.launched_at)
            state, is_last = _catch_up(connection, key, current, run_dir, has_died=has_died)
            save_news(connection, key, state)


def read_whole(connection: sqlite3.Connection, key: int, run_dir: RunDir, state: RunState) -> None:
    """Read the whole folder of a new run inside the open transaction."""
    death, is_last = _find_death(run_dir, state), False
    while not is_last:
        state, is_last = _catch_up(connection, key, state, run_dir, has_died=death is not None)
    recorder = EventRecorder(connection, key, state)
    _record_diagnoses(recorder, run_dir)
    save_state(connection, key, recorder.state)


def _record_diagnoses(recorder: EventRecorder, run_dir: RunDir) -> None:
    """Record the results of diagnostics in a run's folder."""
    if found := run_dir.read_diagnoses().found:
        recorder.record_diagnoses(found.values())


def _catch_up(
    connection: sqlite3.Connection, key: int, state: RunState, run_dir: RunDir, *, has_died: bool
) -> tuple[RunState, bool]:
    """Read the next events; return the state, and whether there are no more."""
    recorder, is_last = take_events(connection, key, state, run_dir)
    state = recorder.state
    _note_process(run_dir, state)
    if is_last and has_died and state.status in LIVE:
        death = _find_death(run_dir, state)  # using the latest events
        if death is not None:
            recorder.crash(death)
    return state, is_last


def _look_again(database: Database, key: int, run_dir: RunDir) -> None:
    """Correct the history of a run that it considers ended.

    Its process may only have seemed dead, another one may have been started, or the exit code may
    have been recorded later.

    Raises:
        StoreError: when the database cannot be read or written.
    """
    state = load_state(database, key)
    if state is None:
        return
    if state.status in LIVE or log_size(run_dir) > state.events_offset:
        refresh_run(database, key, run_dir)
        return
    if state.status != "crashed" or state.exit_code is not None:
        return
    death = _find_death(run_dir, state)
    if death is not None and death.exit_code is not None:
        with database.write() as connection:
            current = load_state(database, key)
            if current is not None and current.status == "crashed":
                recorder = EventRecorder(connection, key, current)
                recorder.correct(death)
                save_state(connection, key, recorder.state)


def _mark_relaunched(database: Database, key: int, run_dir: RunDir, gpu: str | None) -> None:
    known = load_state(database, key)
    if known is None:
        return
    refresh_run(database, key, run_dir)
    with database.write() as connection:
        before = load_state(database, key)
        if before is None:
            return
        attempts = known.attempts
        state = take_events(connection, key, before, run_dir)[0].state
        if state.status not in LIVE and state.attempts == attempts:
            process = run_dir.read_process()
            is_past = process is not None and not is_alive(run_dir, process)
            state.past_process = _identity(process) if process and is_past else None
            state.status, state.launched_at = "starting", time.time()
            state.error = state.exit_code = None
        save_news(connection, key, state)
        connection.execute(
            "UPDATE runs SET queue_position = NULL, queue_held = 0, gpu = ? WHERE key = ?",
            [gpu, key],
        )


def take_events(
    connection: sqlite3.Connection, key: int, state: RunState, run_dir: RunDir
) -> tuple[EventRecorder, bool]:
    """Read new events into the run's rows, inside the open transaction.

    Returns:
        The recorder, whose state must still be saved, and whether there are no more events.
    """
    recorder = EventRecorder(connection, key, state)
    try:
        batch = read_events(run_dir.events, state.events_offset, most_bytes=BATCH_BYTES)
    except OSError:  # unreadable for now
        return recorder, True
    if batch.restarted:
        state = RunState("starting", state.launched_at, state.arm, target=state.target)
        for table in OF_RUN:
            connection.execute(f"DELETE FROM {table} WHERE run = ?", [key])
        recorder = EventRecorder(connection, key, state)
    _record(recorder, batch)
    has_finished = any(isinstance(event, RunFinished) for event in batch.events)
    if has_finished or (batch.restarted and batch.is_last):  # a run may have diagnosed itself
        _record_diagnoses(recorder, run_dir)
    state.events_offset = batch.offset
    return recorder, batch.is_last


def _record(recorder: EventRecorder, batch: EventBatch) -> None:
    """Record the events of a batch, except those with inconsistent numbers."""
    state = recorder.state
    highest = state.last_seq + len(batch.events) + batch.damaged_lines
    following = batch.following.seq if batch.following is not None else None
    numbers = [event.seq for event in batch.events]
    for event, fits in zip(
        batch.events, in_sequence(numbers, state.last_seq, following), strict=True
    ):
        if fits:
            recorder.record(event)
        else:
            state.damaged_lines += 1
    recorder.flush()
    state.damaged_lines += batch.damaged_lines
    state.last_seq = min(state.last_seq, highest)  # a number that jumps may itself be damaged


def _has_news(run_dir: RunDir, state: RunState) -> bool:
    if _has_more(run_dir, state.events_offset):
        return True
    if state.status != "starting":
        return False
    process = run_dir.read_process()
    return process is not None and process.pid != state.pid


def _has_more(run_dir: RunDir, offset: int) -> bool:
    """Return whether the event log's size (bytes) differs from ``offset``, where reading ended."""
    try:
        return run_dir.events.stat().st_size != offset
    except OSError:  # unreadable for now
        return False


def log_size(run_dir: RunDir) -> int:
    """Return the size of the event log in bytes, or 0 if unreadable."""
    try:
        return run_dir.events.stat().st_size
    except OSError:
        return 0


def _note_process(run_dir: RunDir, state: RunState) -> None:
    process = run_dir.read_process()
    if process is not None and state.status == "starting":
        state.pid, state.host = process.pid, process.host


def _find_death(run_dir: RunDir, state: RunState) -> AttemptEnd | None:
    """Return how the run's process died, or None if it is alive or still expected."""
    process = run_dir.read_process()
    if process is None or _identity(process) == state.past_process:
        return _find_absence(run_dir, state, process)
    if is_alive(run_dir, process):
        return None
    has_begun = state.attempts > 0 and state.status != "starting"
    return end_of(run_dir, process, _last_sign(run_dir, state), has_begun=has_begun)


def _find_absence(run_dir: RunDir, state: RunState, past: ProcessInfo | None) -> AttemptEnd | None:
    """Return the outcome of a run without a process, unless one is still expected."""
    now = now_of(run_dir)
    ended = exit_since(run_dir, state.launched_at)
    if ended is not None and past is not None and ended.is_of(past):
        ended = None
    if state.status == "starting":
        launched_s_ago = (now if run_dir.is_copy else time.time()) - state.launched_at
        is_awaited = ended is None and launched_s_ago < LAUNCH_GRACE_S
        cause = with_log("no process started the run", run_dir)
    else:
        is_awaited = now - _last_sign(run_dir, state) < HEARTBEAT_STALE_S
        cause = "its process and the process record disappeared"
    if is_awaited:
        return None
    exit_code = ended.exit_code if ended else None
    return AttemptEnd(ended_at=now, exit_code=exit_code, cause=cause)


def _identity(process: ProcessInfo) -> str:
    """Return a unique key of a process on its host."""
    return f"{process.pid} {process.started_at}"


def _last_sign(run_dir: RunDir, state: RunState) -> float:
    """Return when the run was last known to be alive."""
    return max(last_sign_of_life(run_dir) or 0.0, state.last_event_at or 0.0, state.launched_at)
