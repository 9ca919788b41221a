"""Move runs to the trash, restore them, and delete them permanently."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from engine.rundir import RunDir
from engine.rundir.life import is_alive
from vld_tui.home import Home
from vld_tui.store.database import Database
from vld_tui.store.errors import RunNotTrashed, StoreError
from vld_tui.store.labels import write_user_data
from vld_tui.store.lookup import Found, find_by_id
from vld_tui.store.missing_folders import MissingFolders
from vld_tui.store.rows import STATUS_SQL
from vld_tui.store.runs import Runs


class Trash:
    """The trash of an open history, and runs that never get there."""

    def __init__(self, database: Database, home: Home, runs: Runs, missing: MissingFolders) -> None:
        self._database, self._home, self._runs, self._missing = database, home, runs, missing

    def move(self, run_id: str) -> None:
        """Move a run that has ended, and its folder, to the trash.

        Raises:
            StoreError: when it is already in the trash, running, cannot be moved, or its folder
                may be on a disk that is not mounted.
        """
        self._runs.get(run_id)  # it may have just ended
        with _moving(run_id), self._database.write() as connection:
            found = find_by_id(self._database, run_id)
            if found.is_trashed:
                raise StoreError(f"Run {run_id} is already in the trash.")
            self._missing.refuse_unmounted(found)
            _give_access(found.run_dir(self._home).path)
            _refuse_live(self._database, self._home, found)
            connection.execute(
                "UPDATE runs SET trashed_at = ?, queue_position = NULL WHERE key = ?",
                [time.time(), found.key],
            )
            # Not in one statement: a damaged status written back would fail the table's check.
            connection.execute(
                "UPDATE runs SET status = 'stopped' WHERE key = ? AND status = 'queued'",
                [found.key],
            )
            _move(
                self._database,
                found.key,
                self._home.run_dir(run_id),
                self._home.trashed_run_dir(run_id),
            )

    def restore(self, run_id: str) -> None:
        """Move a run and its folder back from the trash.

        Raises:
            StoreError: when it is not in the trash or cannot be moved.
        """
        with _moving(run_id), self._database.write() as connection:
            found = find_by_id(self._database, run_id)
            if not found.is_trashed:
                raise RunNotTrashed(run_id)
            connection.execute("UPDATE runs SET trashed_at = NULL WHERE key = ?", [found.key])
            _move(
                self._database,
                found.key,
                self._home.trashed_run_dir(run_id),
                self._home.run_dir(run_id),
            )

    def delete(self, run_id: str) -> None:
        """Permanently delete a run that is in the trash.

        Raises:
            StoreError: when it is not in the trash, or its folder cannot be deleted.
        """
        with self._database.write() as connection:
            if not _delete_row(connection, run_id):
                raise RunNotTrashed(run_id)
            _delete(self._home.trashed_run_dir(run_id).path)

    def empty(self) -> int:
        """Permanently delete every run in the trash, and all other files in it; return how many.

        Raises:
            StoreError: when a folder cannot be deleted; what was deleted stays deleted.
        """
        rows = self._database.rows("SELECT run_id FROM runs WHERE trashed_at IS NOT NULL")
        names = {run_id for (run_id,) in rows} | {path.name for path in self._home.trash.iterdir()}
        for name in sorted(names):
            with self._database.write() as connection:
                _delete_row(connection, name)
                _delete(self._home.trashed_run_dir(name).path)
        return len(names)

    def discard(self, run_id: str) -> None:
        """Permanently delete a rejected run: its row and its folder.

        Raises:
            StoreError: when it still runs or cannot be deleted.
        """
        with self._database.write() as connection:
            found = find_by_id(self._database, run_id)
            run_dir = found.run_dir(self._home)
            process = run_dir.read_process()
            if process is not None and is_alive(run_dir, process):
                raise StoreError(f"Run {run_id} is still running as process {process.pid}.")
            if run_dir.last_checkpoint.exists():
                raise StoreError(f"Run {run_id} has a checkpoint and is not discarded.")
            connection.execute("DELETE FROM runs WHERE key = ?", [found.key])
            _delete(run_dir.path)


def _give_access(path: Path) -> None:
    """Give the user access to their own folder without permissions, so that it can be moved."""
    if path.is_dir() and not os.access(path, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        with contextlib.suppress(OSError):  # it belongs to another user
            path.chmod(path.stat().st_mode | stat.S_IRWXU)


def _refuse_live(database: Database, home: Home, found: Found) -> None:
    row = database.row(
        f"SELECT {STATUS_SQL}, pid, job, job_open FROM runs WHERE key = ?", [found.key]
    )
    status, pid, job, has_job = row or ("gone", None, None, 0)
    run_dir = found.run_dir(home)
    if run_dir.is_copy:
        return
    if status in ("starting", "running"):
        process = f" as process {pid}" if pid else ""
        raise StoreError(
            f"Run {found.run_id} is {status}{process}. Stop it first: vld stop {found.run_id}"
        )
    if has_job and status not in ("finished", "failed"):
        raise StoreError(
            f"Run {found.run_id} belongs to job {job}. Stop it first: vld stop {found.run_id}"
        )
    process_info = run_dir.read_process()
    if process_info is not None and is_alive(run_dir, process_info):
        raise StoreError(
            f"Run {found.run_id} is {status}, but its process {process_info.pid} is still ending."
        )


@contextlib.contextmanager
def _moving(run_id: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"Cannot move run {run_id}: {error}.") from None


def _move(database: Database, key: int, source: RunDir, target: RunDir) -> None:
    """Move a run folder, unless it is already in place, and write the row's labels into it.

    Raises:
        StoreError: when both folders exist.
        OSError: when it cannot be moved; it then stays in place.
    """
    if not source.path.exists():  # the run exists only in the history, or its disk was away
        if target.path.exists():
            write_user_data(database, key, target)
        return
    if target.path.exists():
        raise StoreError(f"{target.path} already exists.")
    source.path.rename(target.path)
    try:
        write_user_data(database, key, target)
    except OSError:
        target.path.rename(source.path)
        raise


def _delete_row(connection: sqlite3.Connection, run_id: str) -> bool:
    """Delete the row of a run in the trash; return whether there was one."""
    deleted = connection.execute(
        "DELETE FROM runs WHERE run_id = ? AND trashed_at IS NOT NULL", [run_id]
    )
    return deleted.rowcount > 0


def _delete(path: Path) -> None:
    """Delete a folder or file.

    Raises:
        StoreError: when it cannot be deleted.
    """
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"Cannot delete {error.filename or path}: {error.strerror}.") from None
