"""Runs whose folders were deleted or moved by another program: marked as gone, and unmarked when
the folder is back. Nothing is deleted."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Sequence
from typing import Final

from vld_tui.home import Home
from vld_tui.runs.run import LIVE
from vld_tui.store.database import Database
from vld_tui.store.errors import DatabaseLocked, DatabaseUnwritable, StoreError
from vld_tui.store.lookup import Found, run_ids
from vld_tui.store.settings import Settings

LOOK_S: Final = 15.0
"""How often the run folders are listed at most, while their folder changes."""
COST_SHARE: Final = 0.002
"""Share of the time that listing folders may take."""
IF_DELETED: Final = "If the folders were deleted, mark their runs as gone: vld rebuild"
_LISTED: Final = "folders_listed"
"""The setting with the modification time (ns) of the folder of runs when it was last listed."""
_MARK: Final = """
    UPDATE runs SET gone = 1 WHERE key = ? AND trashed_at IS NULL
    AND status NOT IN ('starting', 'running')
"""
_UNMARK: Final = "UPDATE runs SET gone = 0 WHERE key = ? AND trashed_at IS NULL"


class MissingFolders:
    """Keeps the mark ``gone`` of an open history up to date."""

    def __init__(self, database: Database, home: Home, settings: Settings) -> None:
        self._database, self._home, self._settings = database, home, settings
        self._due_at = -math.inf
        self._problem: str | None = None

    def look(self) -> str | None:
        """Compare the history with the list of run folders if that may have changed; return why
        the folders are not accessible.

        Raises:
            StoreError: when the folders cannot be listed, or the history cannot be read.
        """
        now = time.monotonic()
        if self._database.is_read_only or now < self._due_at:
            return self._problem
        changed_at, listed_at = self._changed_at(), self._settings.get(_LISTED, int, -1)
        with contextlib.suppress(DatabaseLocked, DatabaseUnwritable):  # the next time
            if changed_at is None or changed_at != listed_at:
                self._problem = self._compare()
                if self._problem is None and changed_at is not None:
                    self._settings.put(_LISTED, changed_at)
            else:
                self._problem = None
                self._unmark_found()
        self._due_at = now + max(LOOK_S, (time.monotonic() - now) / COST_SHARE)
        return self._problem

    def problem(self) -> str | None:
        """Return why the run folders are not accessible, as on a disk that is not mounted; None:
        they are.

        Raises:
            StoreError: when the folders cannot be listed, or the history cannot be read.
        """
        return self._problem_with(has_folders=any(True for _ in run_ids(self._home)))

    def refuse_unmounted(self, found: Found) -> None:
        """Check that a run's folder exists, or is known to be deleted rather than on a disk that is
        not mounted.

        Raises:
            StoreError: when it may be on such a disk.
        """
        if os.path.exists(found.run_dir(self._home).path) or (problem := self.problem()) is None:
            return
        row = self._database.row("SELECT gone FROM runs WHERE key = ?", [found.key])
        if self._changed_at() is None or not (row and row[0]):
            raise StoreError(
                f"The folder of run {found.run_id} is not accessible: {problem}\n{IF_DELETED}"
            )

    def check(self, found: Found) -> None:
        """Mark or unmark one run.

        Raises:
            StoreError: when the history cannot be read.
        """
        if found.is_trashed or self._database.is_read_only:
            return
        row = self._database.row("SELECT gone, status FROM runs WHERE key = ?", [found.key])
        if row is None or (row[1] in LIVE and not row[0]):
            return
        is_missing = self._is_missing(found.run_id)
        if is_missing == bool(row[0]) or (is_missing and self.problem() is not None):
            return
        with contextlib.suppress(DatabaseLocked, DatabaseUnwritable):  # the next time
            self._change(_MARK if is_missing else _UNMARK, [found.key])

    def _changed_at(self) -> int | None:
        try:
            return os.stat(self._home.runs).st_mtime_ns
        except OSError:
            return None

    def _unmark_found(self) -> None:
        """Unmark the gone runs whose folders exist, as after a delay of NFS."""
        rows = self._database.rows(
            "SELECT key, run_id FROM runs WHERE gone = 1 AND trashed_at IS NULL"
        )
        found = [key for key, run_id in rows if os.path.exists(self._home.run_dir(run_id).path)]
        self._change(_UNMARK, found)

    def _problem_with(self, *, has_folders: bool) -> str | None:
        known = self._database.count("runs WHERE trashed_at IS NULL")
        if self._changed_at() is None and known:
            return f"{self._home.runs} is missing; is its disk mounted?"
        if not has_folders and known > 1:
            return f"{self._home.runs} has no run folders; is its disk mounted?"
        return None

    def _compare(self) -> str | None:
        listed = set(run_ids(self._home))
        if (problem := self._problem_with(has_folders=bool(listed))) is not None:
            return problem
        rows = self._database.rows(
            "SELECT key, run_id, gone, status FROM runs WHERE trashed_at IS NULL"
        )
        gone = [
            key
            for key, run_id, is_gone, status in rows
            if run_id not in listed
            and not is_gone
            and status not in LIVE
            and self._is_missing(run_id)
        ]
        self._change(_MARK, gone)
        self._change(
            _UNMARK, [key for key, run_id, is_gone, _ in rows if is_gone and run_id in listed]
        )
        return None

    def _is_missing(self, run_id: str) -> bool:
        """Return whether a folder surely does not exist; a disk that does not answer is no sign."""
        try:
            os.stat(self._home.run_dir(run_id).path)
        except (FileNotFoundError, NotADirectoryError):
            return self._changed_at() is not None
        except OSError:
            return False
        return False

    def _change(self, statement: str, keys: Sequence[int]) -> None:
        if keys:
            with self._database.write() as connection:
                connection.executemany(statement, [(key,) for key in keys])
