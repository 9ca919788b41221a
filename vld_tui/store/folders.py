"""The run folders of a home, compared with its history."""

from __future__ import annotations

import errno
import math
import os
import time
from collections.abc import Sequence
from typing import Final

from vld_tui.home import Home
from vld_tui.store.database import Database
from vld_tui.store.errors import StoreError
from vld_tui.store.ingest import LiveRuns
from vld_tui.store.lookup import run_ids
from vld_tui.store.rebuild import RebuildReport, rebuild, take_in, unknown_runs
from vld_tui.store.settings import Settings

OTHERS_S: Final = 60.0
"""How often the run folders are listed for unknown runs: a shared disk is slow to list a hundred
thousand."""
_UNREAD: Final = "folders_unread"
"""The setting that marks a new database next to existing run folders."""


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
