"""Read history anew from the run folders."""

from __future__ import annotations

import itertools
import os
import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from engine.protocol import SpecError
from engine.rundir import RunDir, UserData
from vld_tui.home import Home
from vld_tui.store.create import insert_row
from vld_tui.store.database import Database, Row
from vld_tui.store.errors import DatabaseDamaged, StoreError
from vld_tui.store.ingest import read_anew
from vld_tui.store.jobs import read_job
from vld_tui.store.labels import default_name
from vld_tui.store.runs import QUEUED
from vld_tui.store.specs import read_kept_spec
from vld_tui.store.state import load_state, save_state

_BATCH: Final = 100
"""Folders read in one transaction: other programs wait no longer than that."""
_OLD: Final = (
    "SELECT key, gpu, status, error, queue_position, queue_held, job, job_state, job_reason, "
    "job_node, job_open FROM runs WHERE run_id = ?"
)
_OVER: Final = ("stopped", "failed", "crashed")
"""What a run may be that somebody elsewhere has given to another job since."""
_WITHOUT_PROCESS: Final = ("stopped", "failed")
"""What a run may be that was never taken up: out of the queue, or impossible to start."""


@dataclass(frozen=True)
class DamagedFolder:
    """A folder that could not be read as a run, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class RebuildReport:
    """How many runs were read, how many of them lie in the trash, and what could not be read."""

    runs: int
    trashed: int
    damaged: tuple[DamagedFolder, ...]


def rebuild(database: Database, home: Home) -> RebuildReport:
    """Replace every row by what the run folders say; places in the queue are kept.

    Runs are replaced batch by batch, so history is never empty in between; rows without a
    readable folder go last.

    Raises:
        StoreError: when the database cannot be written.
    """
    report, read = _read_folders(database, home, _folders(home))
    _drop_others(database, home, read, {folder.path for folder in report.damaged})
    return report


def unknown_runs(database: Database, home: Home) -> list[str]:
    """Return the runs that have a folder and no row, and those given to another job than their row
    says.

    Raises:
        StoreError: when the database cannot be read, or the folders cannot be listed.
    """
    rows = database.rows("SELECT run_id, status, job FROM runs")
    known = {run_id: (status, job) for run_id, status, job in rows}
    found = []
    for run_id in _run_ids(home):
        if run_id not in known:
            found.append(run_id)
            continue
        status, job = known[run_id]
        if status in _OVER and (given := home.run_dir(run_id).read_job()) is not None:
            found += [run_id] if given.job_id != job else []
    return sorted(found)


def take_in(database: Database, home: Home, run_ids: Sequence[str]) -> RebuildReport:
    """Read anew what the folders of some runs say, which history may not know yet.

    Raises:
        StoreError: when the database cannot be written.
    """
    paths = [home.run_dir(run_id).path for run_id in run_ids]
    return _read_folders(database, home, [path for path in paths if path.is_dir()])[0]


def _read_folders(
    database: Database, home: Home, folders: Iterable[Path]
) -> tuple[RebuildReport, set[str]]:
    damaged: list[DamagedFolder] = []
    read: dict[str, bool] = {}
    for batch in _batches(folders):
        with database.write() as connection:
            for path in batch:
                is_trashed = path.parent == home.trash
                if path.name in read:
                    damaged.append(DamagedFolder(path, f"{home.runs / path.name} is there too"))
                    continue
                try:
                    _read(database, connection, RunDir(path), is_trashed=is_trashed)
                    read[path.name] = is_trashed
                except (SpecError, OSError) as error:
                    damaged.append(DamagedFolder(path, str(error)))
    return RebuildReport(len(read), sum(read.values()), tuple(damaged)), set(read)


def open_or_set_aside(path: Path) -> tuple[Database, Path | None]:
    """Open a database to be read anew; one that is damaged is kept under another name first.

    Returns:
        The database, and where the damaged one lies now; None: it was whole.

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
        raise StoreError(f"{path} is damaged and cannot be set aside: {error}.") from None
    return kept


def _run_ids(home: Home) -> list[str]:
    """Return the names of the run folders that are not in the trash."""
    try:
        with os.scandir(home.runs) as entries:
            return [
                entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()
            ]
    except OSError as error:
        raise StoreError(f"{home.runs} cannot be listed: {error.strerror}.") from None


def _folders(home: Home) -> list[Path]:
    return [
        path
        for parent in (home.runs, home.trash)
        for path in sorted(parent.iterdir())
        if path.is_dir() and not path.name.startswith(".")
    ]


def _batches(folders: Iterable[Path]) -> Iterable[list[Path]]:
    remaining = iter(folders)
    while batch := list(itertools.islice(remaining, _BATCH)):
        yield batch


def _read(
    database: Database, connection: sqlite3.Connection, run_dir: RunDir, *, is_trashed: bool
) -> None:
    """Replace the run's row by what its folder says; it keeps its key.

    Raises:
        SpecError: when its specification is missing or damaged.
        OSError: when the folder cannot be read.
    """
    spec, combination = read_kept_spec(run_dir), run_dir.read_combination()
    user = _user_data(run_dir, default_name(spec, combination), is_trashed=is_trashed)
    process = run_dir.read_process()
    launched_at = process.started_at if process else user.created_at
    old = database.row(_OLD, [run_dir.run_id])
    connection.execute("DELETE FROM runs WHERE run_id = ?", [run_dir.run_id])
    key = insert_row(
        connection,
        run_dir.run_id,
        spec,
        user,
        combination=combination,
        launched_at=launched_at,
        key=old[0] if old else None,
    )
    state = load_state(database, key)
    if state is None:
        raise AssertionError("a row just inserted is there")
    save_state(connection, key, read_anew(connection, key, state, run_dir))
    read_job(connection, key, run_dir)
    if old:
        _keep_what_no_folder_tells(connection, key, old)


def _keep_what_no_folder_tells(connection: sqlite3.Connection, key: int, old: Row) -> None:
    """Leave a run its GPU, and its place in the queue or why it never had a process."""
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


def _user_data(run_dir: RunDir, name: str, *, is_trashed: bool) -> UserData:
    """Return what a person said of the run, completed from the folder itself."""
    user = run_dir.read_user()
    trashed_at = user.trashed_at or run_dir.path.stat().st_mtime if is_trashed else None
    return msgspec.structs.replace(
        user,
        name=user.name or name,
        created_at=user.created_at or run_dir.spec.stat().st_mtime,
        trashed_at=trashed_at,
    )


def _drop_others(database: Database, home: Home, read: set[str], damaged: set[Path]) -> None:
    """Delete the rows of runs that were not read, unless their folder came in the meantime."""
    with database.write() as connection:
        for key, run_id in database.rows("SELECT key, run_id FROM runs"):
            if run_id in read:
                continue
            paths = (home.runs / run_id, home.trash / run_id)
            if not any(path.is_dir() and path not in damaged for path in paths):
                connection.execute("DELETE FROM runs WHERE key = ?", [key])
