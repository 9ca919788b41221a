"""The run folders of a home: read those that its history lacks, or rebuild it from them."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from engine.protocol import SpecError
from engine.rundir import RunDir, UserData
from vld_tui.home import Home
from vld_tui.runs.run import LIVE, QUEUED
from vld_tui.store.columns import insert_row, insert_task, load_state, replace_run
from vld_tui.store.database import Database, Row
from vld_tui.store.errors import DatabaseDamaged, StoreError
from vld_tui.store.ingest import LiveRuns, log_size, read_whole
from vld_tui.store.jobs import read_job
from vld_tui.store.labels import default_name
from vld_tui.store.lookup import is_text, run_ids
from vld_tui.store.lost_files import read_files
from vld_tui.store.settings import Settings

OTHERS_S: Final = 60.0
"""How often the run folders are listed for unknown runs: a shared disk is slow to list a hundred
thousand."""
_UNREAD: Final = "folders_unread"
"""The setting that marks a new database next to existing run folders."""
_BATCH: Final = 100
_BATCH_BYTES: Final = 2**23
"""Folders, and bytes of their event logs, that are read before they are written."""
_OLD: Final = (
    "SELECT key, gpu, status, error, queue_position, queue_held, job, job_state, job_reason, "
    "job_node, job_open FROM runs WHERE run_id = ?"
)
_OVER: Final = ("stopped", "failed", "crashed")
"""Statuses of a run that another machine may have submitted as another job."""
_WITHOUT_PROCESS: Final = ("stopped", "failed")
"""Statuses of a run that was never started: dequeued, or impossible to start."""


class Folders:
    """Reads run folders that the history does not know, or all of them again."""

    def __init__(self, database: Database, home: Home, settings: Settings, live: LiveRuns) -> None:
        self._database, self._home, self._settings, self._live = database, home, settings, live
        self._looked_for_others = -math.inf

    def mark_unread(self) -> None:
        """Record in a new database that the existing run folders have not been read."""
        if self._database.is_read_only:
            return
        try:
            has_folders = any(True for _ in run_ids(self._home))
        except StoreError:
            return
        if has_folders:
            self._settings.put(_UNREAD, True)

    def count_unread(self, *, must_look: bool = False) -> int:
        """Return how many run folders are not in the history.

        They are only searched for if the database is new and the existing folders have not been
        read since, or with ``must_look``.
        """
        if not (must_look or self._settings.get(_UNREAD, bool, False)):
            return 0
        known = {run_id for (run_id,) in self._database.rows("SELECT run_id FROM runs")}
        return sum(run_id not in known for run_id in run_ids(self._home))

    def rebuild(self) -> RebuildReport:
        """Rebuild the history from the run folders; damaged ones are reported."""
        with contextlib.suppress(StoreError):  # ends that nothing has seen yet are recorded first
            self._live.refresh()
        report = rebuild(self._database, self._home)
        self._settings.put(_UNREAD, False)
        self._live.refresh()
        return report

    def take_in(self, run_ids: Sequence[str]) -> RebuildReport:
        """Read the folders of some runs, which may be new to the history."""
        return take_in(self._database, self._home, run_ids)

    def take_in_others(self) -> RebuildReport:
        """Read the folders of runs created with another database: on another machine that shares
        this home, or by an interrupted copy."""
        return self.take_in(unknown_runs(self._database, self._home))

    def look_for_others(self) -> None:
        """Add runs created with another database of this home, at a limited rate; nothing if the
        only database is in the home."""
        now = time.monotonic()
        if now - self._looked_for_others < OTHERS_S or self._database.is_read_only:
            return
        self._looked_for_others = now
        if self._home.database.parent != self._home.path:
            if not self._home.runs.is_dir():  # such as on an unmounted disk
                reason = os.strerror(errno.ENOENT)
                raise StoreError(f"Cannot list {self._home.runs}: {reason}.")
            self.take_in_others()


@dataclass(frozen=True)
class DamagedFolder:
    """A folder that could not be read as a run, and why."""

    path: Path
    reason: str


class _LogCutError(Exception):
    """The history has read more of a run's log than the file now contains."""


class _FoundRun(NamedTuple):
    """A run's folder, and its previous location in the history."""

    run_dir: RunDir
    is_trashed: bool
    launched_at: float | None


@dataclass(frozen=True)
class RebuildReport:
    """How many runs were read, how many of them are in the trash, and what could not be read."""

    runs: int
    trashed: int
    damaged: tuple[DamagedFolder, ...]


def rebuild(database: Database, home: Home) -> RebuildReport:
    """Replace every row with the contents of the run folders; keep places in the queue.

    Folders are read into memory in batches and then written at once, so that readers do not wait
    for the disk and the history is never empty. Data that only the history has is kept: missing
    or damaged files of a folder are restored, and a run whose folder cannot be read is listed as
    damaged.

    Raises:
        StoreError: when the database cannot be written.
    """
    reader = _Reader(database, home)
    reader.read(_folders(home))
    missing = _settle_others(database, home, reader.found)
    report = reader.report
    return RebuildReport(report.runs, report.trashed, (*report.damaged, *missing))


def unknown_runs(database: Database, home: Home) -> list[str]:
    """Return the runs that have a folder and no row, the damaged ones, and those whose job differs
    from their row.

    Raises:
        StoreError: when the database cannot be read, or the folders cannot be listed.
    """
    rows = database.rows("SELECT run_id, status, job, gone OR damage IS NOT NULL FROM runs")
    known = {run_id: (status, job, is_damaged) for run_id, status, job, is_damaged in rows}
    found = []
    for run_id in run_ids(home):
        status, job, is_unknown = known.get(run_id, (None, None, True))
        if is_unknown:
            found.append(run_id)
        elif status in _OVER and (given := home.run_dir(run_id).read_job()) is not None:
            found += [run_id] if given.job_id != job else []
    return sorted(found)


def take_in(database: Database, home: Home, run_ids: Sequence[str]) -> RebuildReport:
    """Reread the folders of some runs, which may be new to the history.

    Raises:
        StoreError: when the database cannot be written.
    """
    paths = [home.run_dir(run_id).path for run_id in run_ids]
    reader = _Reader(database, home)
    reader.read(path for path in paths if path.is_dir())
    return reader.report


class _Reader:
    """Reads folders into memory and replaces the rows of their runs, some at a time."""

    def __init__(self, database: Database, home: Home) -> None:
        self._database, self._home = database, home
        self._scratch = database.scratch()
        self.found: set[str] = set()
        """Names of the folders that were read."""
        self._read: dict[str, bool] = {}
        self._damaged: list[DamagedFolder] = []

    @property
    def report(self) -> RebuildReport:
        """Return what was read so far."""
        return RebuildReport(len(self._read), sum(self._read.values()), tuple(self._damaged))

    def read(self, folders: Iterable[Path]) -> None:
        """Read folders.

        Raises:
            StoreError: when the database cannot be written.
        """
        for batch in _batches(folders):
            again = self._replace(batch)
            if again:  # started or removed during the read
                self.found.difference_update(path.name for path in again)
                self._replace(again)
        self._scratch.close()

    def _replace(self, folders: Sequence[Path]) -> list[Path]:
        """Replace the rows of some runs; return the folders that have changed in the meantime."""
        read: list[_FoundRun] = []
        damaged: list[tuple[_FoundRun, str]] = []
        again: list[Path] = []
        for path in folders:
            if (problem := self._refusal(path)) is not None:
                self._damaged.append(DamagedFolder(path, problem))
                continue
            self.found.add(path.name)
            found = self._find(path)
            try:
                _read(self._database, self._scratch, found)
                read.append(found)
            except _LogCutError as error:
                self._damaged.append(DamagedFolder(path, str(error)))
            except SpecError as error:
                damaged.append((found, str(error)))
            except OSError as error:
                damaged.append((found, f"{error.filename or path}: {error.strerror}"))
        with self._database.write() as connection:
            for found in read:
                if self._is_as_it_was(found):
                    _write(self._database, self._scratch, connection, found)
                    self._read[found.run_dir.run_id] = found.is_trashed
                else:
                    again.append(found.run_dir.path)
            for found, reason in damaged:
                if not self._is_as_it_was(found):
                    again.append(found.run_dir.path)
                    continue
                _note_damage(connection, found.run_dir, reason, is_trashed=found.is_trashed)
                self._damaged.append(DamagedFolder(found.run_dir.path, reason))
        with self._scratch.write() as connection:
            connection.execute("DELETE FROM runs")
        return [path for path in again if path.is_dir()]

    def _refusal(self, path: Path) -> str | None:
        """Return why a folder is not a valid run folder."""
        if not is_text(path.name):
            return "its name is not valid text; rename it"
        if path.parent == self._home.trash and path.name in self.found:
            return f"{self._home.runs / path.name} also exists"
        return None

    def _is_as_it_was(self, found: _FoundRun) -> bool:
        """Return whether a run was neither moved nor started since its folder was read."""
        path = found.run_dir.path
        return path.is_dir() and self._find(path) == found

    def _find(self, path: Path) -> _FoundRun:
        row = self._database.row("SELECT launched_at FROM runs WHERE run_id = ?", [path.name])
        return _FoundRun(RunDir(path), path.parent == self._home.trash, row[0] if row else None)


def open_or_set_aside(path: Path) -> tuple[Database, Path | None]:
    """Open a database for a rebuild; a damaged one is first moved to another name.

    Returns:
        The database, and the new path of a damaged one, or None.

    Raises:
        StoreError: when neither the old one nor a new one can be used.
    """
    try:
        database = Database.open(path)
        try:
            if not database.problems():
                return database, None
        except BaseException:
            database.close()
            raise
        database.close()
    except DatabaseDamaged:
        pass
    kept = _set_aside(path)
    return Database.open(path), kept


def _set_aside(path: Path) -> Path:
    """Rename a database with its log and index, and return its new name."""
    kept = path.with_name(f"{path.name}.damaged-{time.strftime('%y%m%d-%H%M%S')}")
    try:
        for suffix in ("-wal", "-shm", ""):  # the log first: alone it would fit no other file
            part = path.with_name(f"{path.name}{suffix}")
            if part.exists():
                part.rename(kept.with_name(f"{kept.name}{suffix}"))
    except OSError as error:
        raise StoreError(f"{path} is damaged and cannot be moved away: {error}.") from None
    return kept


def _folders(home: Home) -> Iterator[Path]:
    """Yield the run folders, those in the trash last."""
    for parent in (home.runs, home.trash):
        with os.scandir(parent) as entries:
            names = sorted(
                entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()
            )
        for name in names:
            yield parent / name


def _batches(folders: Iterable[Path]) -> Iterator[list[Path]]:
    batch: list[Path] = []
    size = 0
    for path in folders:
        batch.append(path)
        size += log_size(RunDir(path))
        if len(batch) == _BATCH or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    yield batch


def _read(database: Database, scratch: Database, found: _FoundRun) -> None:
    """Read a run's folder.

    Raises:
        SpecError: when its specification is missing or damaged and cannot be restored.
        OSError: when the folder cannot be read.
    """
    run_dir = found.run_dir
    _refuse_cut_log(database, run_dir)
    task, user = read_files(database, run_dir)
    user = _completed(user, run_dir, default_name(task), is_trashed=found.is_trashed)
    process = run_dir.read_process()
    launched_at = process.started_at if process else user.created_at
    with scratch.write() as connection:
        key = insert_task(connection, run_dir.run_id, task, user, launched_at=launched_at)
        state = load_state(scratch, key)
        if state is None:
            raise AssertionError("an inserted row exists")
        read_whole(connection, key, run_dir, state)
        read_job(connection, key, run_dir)


def _refuse_cut_log(database: Database, run_dir: RunDir) -> None:
    """Check that an ended run's log has not lost lines that the history has read.

    Raises:
        _LogCutError: when it has.
    """
    known = database.row(
        "SELECT status, events_offset FROM runs WHERE run_id = ?", [run_dir.run_id]
    )
    if known is None or known[0] in (*LIVE, QUEUED) or not isinstance(known[1], int):
        return
    if (size := log_size(run_dir)) < known[1]:
        raise _LogCutError(
            f"{run_dir.events.name} shrank from {known[1]:,} to {size:,} bytes; the data in "
            "the database is kept"
        )


def _write(
    database: Database, scratch: Database, connection: sqlite3.Connection, found: _FoundRun
) -> None:
    """Replace a run's row with what was read, keeping data that only the row has."""
    run_id = found.run_dir.run_id
    old = database.row(_OLD, [run_id])
    key = replace_run(scratch, run_id, connection, old[0] if old else None)
    user = found.run_dir.read_user()  # it may have changed in the meantime
    if user != UserData():
        connection.execute(
            "UPDATE runs SET name = coalesce(?, name), tags = ?, note = ? WHERE key = ?",
            [user.name, " ".join(user.tags), user.note, key],
        )
    if old:
        _keep_history_only(connection, key, old)


def _keep_history_only(connection: sqlite3.Connection, key: int, old: Row) -> None:
    """Keep a run's GPU, and its place in the queue or why it was never started."""
    _, gpu, status, error, position, is_held, *job = old
    connection.execute("UPDATE runs SET gpu = ? WHERE key = ?", [gpu, key])
    connection.execute(
        "UPDATE runs SET job_state = ?, job_reason = ?, job_node = ?, job_open = ? "
        "WHERE key = ? AND job = ?",
        [*job[1:], key, job[0]],
    )
    if status == QUEUED:
        connection.execute(
            "UPDATE runs SET status = ?, queue_position = ?, queue_held = ?, error = NULL, "
            "exit_code = NULL WHERE key = ? AND status NOT IN ('running', 'finished')",
            [QUEUED, position, is_held, key],
        )
    elif job[0] is not None and status in _OVER:
        connection.execute(
            "UPDATE runs SET status = ?, error = ? WHERE key = ? AND job = ? AND status = ?",
            [status, error, key, job[0], QUEUED],
        )
    elif status in _WITHOUT_PROCESS:
        connection.execute(
            "UPDATE runs SET status = ?, error = ?, exit_code = NULL WHERE key = ? "
            "AND attempts = 0 AND status IN ('starting', 'crashed')",
            [status, error, key],
        )


def _completed(user: UserData, run_dir: RunDir, name: str, *, is_trashed: bool) -> UserData:
    """Return the user's labels of the run, completed from the folder itself."""
    trashed_at = user.trashed_at or run_dir.path.stat().st_mtime if is_trashed else None
    return msgspec.structs.replace(
        user,
        name=user.name or name,
        created_at=user.created_at or run_dir.spec.stat().st_mtime,
        trashed_at=trashed_at,
    )


def _settle_others(database: Database, home: Home, known: set[str]) -> list[DamagedFolder]:
    """Delete the rows of runs whose folders vanished from the trash, and mark other runs' missing
    folders; return the latter."""
    missing: list[DamagedFolder] = []
    with database.write() as connection:
        for key, run_id, trashed_at in database.rows("SELECT key, run_id, trashed_at FROM runs"):
            if run_id in known or any((each / run_id).is_dir() for each in (home.runs, home.trash)):
                continue
            if trashed_at is not None:
                connection.execute("DELETE FROM runs WHERE key = ?", [key])
                continue
            path = home.runs / run_id
            reason = f"{path} is missing; the run exists only in the database"
            missing.append(DamagedFolder(path, reason))
            connection.execute("UPDATE runs SET gone = 1 WHERE key = ?", [key])
    return missing


def _note_damage(
    connection: sqlite3.Connection, run_dir: RunDir, reason: str, *, is_trashed: bool
) -> None:
    """Record, inside the open transaction, why a run's folder cannot be read, keeping the run's
    data in the history."""
    run_id, user = run_dir.run_id, run_dir.read_user()
    damage = (
        f"{reason.removesuffix('.')}.\nFix it and run vld rebuild, or remove it: vld rm {run_id}"
    )
    changed_at = 0.0
    with contextlib.suppress(OSError):
        changed_at = run_dir.path.stat().st_mtime
    trashed_at = (user.trashed_at or changed_at) if is_trashed else None
    known = connection.execute(
        "UPDATE runs SET damage = ?, gone = 0, trashed_at = ? WHERE run_id = ?",
        [damage, trashed_at, run_id],
    )
    if known.rowcount:
        return
    created_at = user.created_at or changed_at
    completed = msgspec.structs.replace(
        user, name=user.name or run_id, created_at=created_at, trashed_at=trashed_at
    )
    insert_row(
        connection, run_id, completed, launched_at=created_at,
        spec="null", arm="", status="failed", damage=damage,
    )  # fmt: skip
