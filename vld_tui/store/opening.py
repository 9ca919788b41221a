"""An open history of a home, and its updates from the run folders."""

from __future__ import annotations

import errno
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from vld_tui.database_path import make_folder
from vld_tui.home import Home
from vld_tui.store import health, ingest
from vld_tui.store.database import Database
from vld_tui.store.errors import StoreError
from vld_tui.store.folders import folders_meant, has_run_folders, run_ids
from vld_tui.store.rebuild import (
    RebuildReport,
    open_or_set_aside,
    rebuild,
    take_in,
    unknown_runs,
)
from vld_tui.store.settings import Value, change_setting, read_setting, write_setting

MOST_COPIED_BYTES: Final = 2**29
"""Maximum size of a database that is copied into memory if it cannot be written."""
_UNREAD: Final = "folders_unread"
"""The setting that marks a new database next to existing run folders."""
OTHERS_S: Final = 60.0
"""How often the run folders are listed for unknown runs: a shared disk is slow to list a hundred
thousand."""


class OpenHistory:
    """The open database of a home, and the home's settings."""

    def __init__(self, home: Home, database: Database) -> None:
        self.home = home
        self._database = database
        self._pace = ingest.Pace()
        self._looked_for_others = -math.inf
        self.is_to_look = False
        """Only updates from run folders are expected, so a copy is sufficient."""

    @classmethod
    def open(cls, home: Home) -> Self:
        """Open the history, creating or migrating it if needed.

        A new database outside its home is built from the run folders. Runs created elsewhere later
        are added by :meth:`look_for_others`.

        Raises:
            StoreError: when it is damaged, locked, or written by a newer version.
        """
        path = home.database
        is_new = not path.exists() or path.stat().st_size == 0
        if path.parent == home.path:
            store = cls(home, Database.open(path))
            if is_new and not store.is_read_only and has_run_folders(home):
                store.keep_setting(_UNREAD, True)
            return store
        try:
            make_folder(path)
        except OSError as error:
            raise StoreError(f"Cannot create {path}: {error.strerror}.") from None
        store = cls(home, Database.open(path))
        if is_new:
            store.look_for_others()
        return store

    @classmethod
    def without_history(cls, home: Home) -> Self:
        """Return the empty history of a home that does not exist, without creating it."""
        return cls(home, Database.in_memory(home.database))

    @classmethod
    def open_to_rebuild(cls, home: Home) -> tuple[Self, Path | None]:
        """Open the history for a rebuild; a damaged database is moved away, never deleted.

        Returns:
            The history, and the new path of a damaged database, or None.

        Raises:
            StoreError: when it is locked, written by a newer version, or cannot be moved.
        """
        database, set_aside = open_or_set_aside(home.database)
        return cls(home, database), set_aside

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @classmethod
    def of_folders(cls, home: Home, references: Sequence[str]) -> Self:
        """Return a history in memory of the given runs, built from their folders, for use when the
        database cannot be used.

        Raises:
            StoreError: when the folders cannot be listed.
        """
        store = cls(home, Database.in_memory(home.database))
        meant = [run_id for each in references for run_id in folders_meant(home, each)]
        store.take_in(list(dict.fromkeys(meant)))
        return store

    def work_on_copy(self) -> None:
        """Switch to a copy of the database in memory, because it cannot be written.

        The copy is updated from the run folders like the database, and discarded at the end.

        Raises:
            StoreError: when the database cannot be read, or is too large to be copied.
        """
        size = self._database.path.stat().st_size
        if size > MOST_COPIED_BYTES:
            raise StoreError(f"{self._database.path} is too large to copy into memory.")
        copy = self._database.copied()
        self._database.close()
        self._database, self._pace = copy, ingest.Pace()

    @property
    def is_read_only(self) -> bool:
        """Return whether the history is read-only, in its last written state."""
        return self._database.is_read_only

    @property
    def problem(self) -> str | None:
        """Return why a writable database is not written, or None."""
        return self._database.problem

    @property
    def is_copy(self) -> bool:
        """Return whether writes are lost because the database cannot be written."""
        return self._database.is_copy

    def unread_folders(self, *, must_look: bool = False) -> int:
        """Return how many run folders are not in the history.

        They are only searched for if the database is new and the existing folders have not been
        read since, or with ``must_look``.

        Raises:
            StoreError: when the history cannot be read.
        """
        if not (must_look or self.setting(_UNREAD, bool, False)):
            return 0
        known = {run_id for (run_id,) in self._database.rows("SELECT run_id FROM runs")}
        return sum(run_id not in known for run_id in run_ids(self.home))

    @property
    def is_replaced(self) -> bool:
        """Return whether the open history has been replaced by another one."""
        return self._database.is_replaced

    def version(self) -> tuple[int, int]:
        """Return a value that changes whenever the history changes."""
        return self._database.version()

    def health(self) -> dict[str, Any]:
        """Return the database's state, with sizes in bytes."""
        return health.examine(self._database, self.home)

    def refresh(self) -> None:
        """Read new events of live runs, and detect runs that died."""
        if not self._database.is_read_only:
            ingest.refresh_live(self._database, self.home, self._pace)

    def rebuild(self) -> RebuildReport:
        """Rebuild the history from the run folders; damaged ones are reported."""
        report = rebuild(self._database, self.home)
        self.keep_setting(_UNREAD, False)
        self.refresh()
        return report

    def take_in(self, run_ids: Sequence[str]) -> RebuildReport:
        """Read the folders of some runs, which may be new to the history."""
        return take_in(self._database, self.home, run_ids)

    def take_in_others(self) -> RebuildReport:
        """Read the folders of runs created with another database: on another machine that shares
        this home, or by an interrupted copy.

        Raises:
            StoreError: when the history cannot be read or written.
        """
        return self.take_in(unknown_runs(self._database, self.home))

    def look_for_others(self) -> None:
        """Add runs created with another database of this home, at a limited rate; nothing if the
        only database is in the home.

        Raises:
            StoreError: when the history cannot be read or written.
        """
        now = time.monotonic()
        if now - self._looked_for_others < OTHERS_S or self.is_read_only:
            return
        self._looked_for_others = now
        if self.home.database.parent != self.home.path:
            if not self.home.runs.is_dir():  # such as on an unmounted disk
                reason = os.strerror(errno.ENOENT)
                raise StoreError(f"Cannot list {self.home.runs}: {reason}.")
            self.take_in_others()

    def setting(self, name: str, kind: type[Value], default: Value) -> Value:
        """Return a setting of this home, or the default."""
        return read_setting(self._database, name, kind, default)

    def change_setting(
        self, name: str, kind: type[Value], default: Value, change: Callable[[Value], Value]
    ) -> None:
        """Change a setting based on its current value, keeping concurrent changes."""
        change_setting(self._database, name, kind, default, change)

    def keep_setting(self, name: str, value: object) -> None:
        """Store a setting of this home."""
        write_setting(self._database, name, value)
