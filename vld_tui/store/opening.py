"""An open history of a home, and how it is kept up to date with the run folders."""

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
"""A database up to this size is copied into memory where it cannot be written."""
_UNREAD: Final = "folders_unread"
"""The setting that tells that the database was begun anew beside run folders."""
OTHERS_S: Final = 60.0
"""How often the run folders are listed for runs that history does not know: a disk that machines
share is slow to list a hundred thousand."""


class OpenHistory:
    """The database of a home, open; and what a person set for the home."""

    def __init__(self, home: Home, database: Database) -> None:
        self.home = home
        self._database = database
        self._pace = ingest.Pace()
        self._looked_for_others = -math.inf
        self.is_to_look = False
        """Nothing is to be changed but what the run folders say, so a copy will do."""

    @classmethod
    def open(cls, home: Home) -> Self:
        """Open the history, made or brought up to date where needed.

        One that lies apart from its home is made of the run folders. What others make later is
        taken in by :meth:`look_for_others`, for whoever must know it.

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
            raise StoreError(f"The history {path} cannot be made: {error.strerror}.") from None
        store = cls(home, Database.open(path))
        if is_new:
            store.look_for_others()
        return store

    @classmethod
    def without_history(cls, home: Home) -> Self:
        """Return the empty history of a home that is not made yet, and that stays so."""
        return cls(home, Database.in_memory(home.database))

    @classmethod
    def open_to_rebuild(cls, home: Home) -> tuple[Self, Path | None]:
        """Open the history to read it anew; a damaged database is put aside, never destroyed.

        Returns:
            The history, and where the damaged database lies now; None: it was whole.

        Raises:
            StoreError: when it is locked, written by a newer version, or cannot be put aside.
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
        """Return a history in memory of the runs that are meant, made of their folders: where the
        database cannot be used.

        Raises:
            StoreError: when the folders cannot be listed.
        """
        store = cls(home, Database.in_memory(home.database))
        meant = [run_id for each in references for run_id in folders_meant(home, each)]
        store.take_in(list(dict.fromkeys(meant)))
        return store

    def work_on_copy(self) -> None:
        """Go on with a copy of the database in memory, where it cannot be written.

        The copy is brought up to date from the run folders as the database would be. All of it is
        forgotten at the end.

        Raises:
            StoreError: when the database cannot be read, or is too large to be copied.
        """
        size = self._database.path.stat().st_size
        if size > MOST_COPIED_BYTES:
            raise StoreError(f"{self._database.path} is too large to be copied into memory.")
        copy = self._database.copied()
        self._database.close()
        self._database, self._pace = copy, ingest.Pace()

    @property
    def is_read_only(self) -> bool:
        """Say whether history can only be looked at, as of when it was last written."""
        return self._database.is_read_only

    @property
    def problem(self) -> str | None:
        """Return why the database, which could be, is not written; None: nothing is wrong."""
        return self._database.problem

    @property
    def is_copy(self) -> bool:
        """Say whether what is written is forgotten, for the database cannot be written."""
        return self._database.is_copy

    def unread_folders(self, *, must_look: bool = False) -> int:
        """Return how many run folders history does not know.

        They are only looked for if history was begun anew beside folders that nobody has read
        since, or if it ``must_look``.

        Raises:
            StoreError: when history cannot be read.
        """
        if not (must_look or self.setting(_UNREAD, bool, False)):
            return 0
        known = {run_id for (run_id,) in self._database.rows("SELECT run_id FROM runs")}
        return sum(run_id not in known for run_id in run_ids(self.home))

    @property
    def is_replaced(self) -> bool:
        """Say whether another history has taken the place of the one that is open."""
        return self._database.is_replaced

    def version(self) -> tuple[int, int]:
        """Return what is another whenever history has changed."""
        return self._database.version()

    def health(self) -> dict[str, Any]:
        """Return what is known of the database's state, sizes in bytes."""
        return health.examine(self._database, self.home)

    def refresh(self) -> None:
        """Take in what live runs said since, and notice those that died without a word."""
        if not self._database.is_read_only:
            ingest.refresh_live(self._database, self.home, self._pace)

    def rebuild(self) -> RebuildReport:
        """Read everything anew from the run folders; damaged ones are reported."""
        report = rebuild(self._database, self.home)
        self.keep_setting(_UNREAD, False)
        self.refresh()
        return report

    def take_in(self, run_ids: Sequence[str]) -> RebuildReport:
        """Read what the folders of some runs say, which history may not know yet."""
        return take_in(self._database, self.home, run_ids)

    def take_in_others(self) -> RebuildReport:
        """Read the folders of runs that were made where another database is: on another machine
        that has this home, or by a copy that broke off.

        Raises:
            StoreError: when history cannot be read or written.
        """
        return self.take_in(unknown_runs(self._database, self.home))

    def look_for_others(self) -> None:
        """Take in, a while after the last time, what was made where another database of this home
        is; nothing where the only one is in the home.

        Raises:
            StoreError: when history cannot be read or written.
        """
        now = time.monotonic()
        if now - self._looked_for_others < OTHERS_S or self.is_read_only:
            return
        self._looked_for_others = now
        if self.home.database.parent != self.home.path:
            if not self.home.runs.is_dir():  # such as on a disk that is not mounted
                reason = os.strerror(errno.ENOENT)
                raise StoreError(f"{self.home.runs} cannot be listed: {reason}.")
            self.take_in_others()

    def setting(self, name: str, kind: type[Value], default: Value) -> Value:
        """Return what a person set for this home; the default when nothing was."""
        return read_setting(self._database, name, kind, default)

    def change_setting(
        self, name: str, kind: type[Value], default: Value, change: Callable[[Value], Value]
    ) -> None:
        """Change what was set from what it is; what others change meanwhile is kept."""
        change_setting(self._database, name, kind, default, change)

    def keep_setting(self, name: str, value: object) -> None:
        """Keep what a person set."""
        write_setting(self._database, name, value)
