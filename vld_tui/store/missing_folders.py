"""Runs whose folders were deleted or moved by another program: marked as gone, and unmarked when
the folder is back. Nothing is deleted."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterable
from typing import Final

from vld_tui.home import Home
from vld_tui.runs.run import GONE, LIVE
from vld_tui.store.database import Database
from vld_tui.store.errors import DatabaseLocked, DatabaseUnwritable
from vld_tui.store.lookup import Found, run_ids
from vld_tui.store.settings import Settings

LOOK_S: Final = 15.0
"""How often the run folders are listed at most, while their folder changes."""
COST_SHARE: Final = 0.02
"""Share of the time that listing folders may take."""
_LISTED: Final = "folders_listed"
"""The setting with the modification time (ns) of the folder of runs when it was last listed."""
_ROWS: Final = "SELECT key, run_id, damage, status FROM runs WHERE trashed_at IS NULL"


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
            StoreError: when the folders cannot be listed, or the history cannot be written.
        """
        now = time.monotonic()
        if self._database.is_read_only or now < self._due_at:
            return self._problem
        changed_at = self._changed_at()
        if changed_at is None:
            self._problem = f"{self._home.runs} is missing; is its disk mounted?"
        elif changed_at != self._settings.get(_LISTED, int, -1):
            self._problem = self._compare()
            if self._problem is None:
                self._settings.put(_LISTED, changed_at)
        else:
            self._problem = None
        self._due_at = now + max(LOOK_S, (time.monotonic() - now) / COST_SHARE)
        return self._problem

    def check(self, found: Found) -> None:
        """Mark or unmark one run.

        Raises:
            StoreError: when the history cannot be read.
        """
        if found.is_trashed or self._database.is_read_only or self._changed_at() is None:
            return
        row = self._database.row("SELECT damage, status FROM runs WHERE key = ?", [found.key])
        if row is None or (row[1] in LIVE and row[0] != GONE):
            return
        is_missing = self._is_missing(found.run_id)
        if is_missing != (row[0] == GONE):
            with contextlib.suppress(DatabaseLocked, DatabaseUnwritable):  # the next time
                self._mark([found.key], GONE if is_missing else None)

    def _changed_at(self) -> int | None:
        try:
            return os.stat(self._home.runs).st_mtime_ns
        except OSError:
            return None

    def _compare(self) -> str | None:
        listed = set(run_ids(self._home))
        rows = self._database.rows(_ROWS)
        if not listed and len(rows) > 1:
            return f"{self._home.runs} has no run folders; is its disk mounted?"
        gone = [
            key
            for key, run_id, damage, status in rows
            if run_id not in listed
            and damage != GONE
            and status not in LIVE
            and self._is_missing(run_id)
        ]
        back = [key for key, run_id, damage, _ in rows if damage == GONE and run_id in listed]
        self._mark(gone, GONE)
        self._mark(back, None)
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

    def _mark(self, keys: Iterable[int], damage: str | None) -> None:
        changes = [(damage, key) for key in keys]
        if changes:
            with self._database.write() as connection:
                connection.executemany("UPDATE runs SET damage = ? WHERE key = ?", changes)
