"""The history of a home."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from vld_tui.home import Home, make_database_folder
from vld_tui.store.checkpoints import Checkpoints, checkpoint_files, size_of
from vld_tui.store.database import MIGRATIONS, Database
from vld_tui.store.errors import DatabaseLocked, DatabaseTooLarge, StoreError
from vld_tui.store.folders import Folders, open_or_set_aside
from vld_tui.store.groups import Groups
from vld_tui.store.ingest import LiveRuns
from vld_tui.store.jobs import Jobs
from vld_tui.store.labels import Labels
from vld_tui.store.lookup import folders_meant, run_ids
from vld_tui.store.missing_folders import MissingFolders
from vld_tui.store.notifications import Notifications
from vld_tui.store.queue import Queue
from vld_tui.store.runs import Runs
from vld_tui.store.saved_views import SavedViews
from vld_tui.store.series import STEP_BYTES, Series
from vld_tui.store.settings import Settings
from vld_tui.store.trash import Trash

Answer = TypeVar("Answer")
_ATTEMPTS: Final = 10


class Store:
    """An open history. It belongs to the thread that opened it; many may be open at once.

    Its parts, one for each noun, do the work. Every method raises :class:`StoreError` when the
    database is locked, damaged or cannot be written; methods that take a run's id raise
    :class:`RunNotFound` for an unknown one.
    """

    def __init__(self, home: Home, database: Database) -> None:
        self.home = home
        self.database = database
        self.settings = Settings(database)
        self.notifications = Notifications(database, self.settings)
        self.live = LiveRuns(database, home)
        self.folders = Folders(database, home, self.settings, self.live)
        self.missing = MissingFolders(database, home, self.settings)
        self.runs = Runs(database, home, self.folders, self.live, self.missing)
        self.groups = Groups(database)
        self.views = SavedViews(database, self.settings)
        self.labels = Labels(database, home)
        self.queue = Queue(database, home, self.runs)
        self.jobs = Jobs(database, home)
        self.series = Series(database)
        self.checkpoints = Checkpoints(database, home)
        self.trash = Trash(database, home, self.runs, self.missing)

    @classmethod
    def open(cls, home: Home) -> Self:
        """Open the history, creating or migrating it if needed.

        A new database outside its home is built from the run folders. Runs created elsewhere later
        are added by :meth:`Folders.look_for_others`.

        Raises:
            StoreError: when it is damaged, locked, or written by a newer version.
        """
        path = home.database
        is_new = not path.exists() or path.stat().st_size == 0
        if path.parent == home.path:
            store = cls(home, Database.open(path))
            if is_new:
                store.folders.mark_unread()
            return store
        try:
            make_database_folder(path)
        except OSError as error:
            raise StoreError(f"Cannot create {path}: {error.strerror}.") from None
        store = cls(home, Database.open(path))
        if is_new:
            store.folders.look_for_others()
        return store

    @classmethod
    def open_untouched(cls, home: Home) -> Self:
        """Open the history without creating or changing a file; see :meth:`catch_up`.

        A home without a database is read from its run folders into memory.

        Raises:
            StoreError: when it is damaged, or written by a newer version.
        """
        if home.database.is_file():
            return cls(home, Database.open_untouched(home.database))
        store = cls.without_history(home)
        store.folders.take_in(sorted(run_ids(home)))
        return store

    @property
    def may_be_behind(self) -> bool:
        """Return whether runs may have gone further, or other machines may have made some."""
        is_shared = self.home.database.parent != self.home.path
        return is_shared or any(self.runs.count_statuses().values())

    def catch_up(self) -> None:
        """Read what is new in the run folders, into a copy in memory if the database is read-only.

        If that is too large to be copied, its ``problem`` states so.

        Raises:
            StoreError: when it cannot be read.
        """
        if self.database.is_read_only:
            try:
                self.live.work_on_copy()
            except DatabaseTooLarge as error:
                self.database.problem = f"showing older data: {error}"
                return
        self.live.refresh()
        self.folders.look_for_others()

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

    @classmethod
    def of_folders(cls, home: Home, references: Sequence[str]) -> Self:
        """Return a history in memory of the given runs, built from their folders, for use when the
        database cannot be used.

        Raises:
            StoreError: when the folders cannot be listed.
        """
        store = cls.without_history(home)
        meant = [run_id for each in references for run_id in folders_meant(home, each)]
        store.folders.take_in(list(dict.fromkeys(meant)))
        return store

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def health(self) -> dict[str, Any]:
        """Return the database's path, integrity (``ok`` or what is wrong), schema, sizes in bytes
        and counts.

        Raises:
            StoreError: when the database cannot be read at all.
        """
        database = self.database
        problems = [message for (message,) in database.rows("PRAGMA integrity_check")]
        schema = database.row("PRAGMA user_version") or (0,)
        counts = database.row(
            "SELECT count(*), count(trashed_at), "
            "count(*) FILTER (WHERE status IN ('starting', 'running') AND trashed_at IS NULL), "
            "total(damaged_lines) FROM runs"
        ) or (0, 0, 0, 0)
        points = database.row("SELECT total(length(steps)) FROM series") or (0,)
        checkpoints = saved = 0
        for size in checkpoint_files(self.home):
            checkpoints, saved = checkpoints + 1, saved + size
        return {
            "database": str(database.path),
            "integrity": "; ".join(problems),
            "schema": schema[0],
            "newest_schema": len(MIGRATIONS),
            "database_bytes": size_of(database.path) or 0,
            "log_bytes": size_of(database.path.with_name(f"{database.path.name}-wal")) or 0,
            "runs": counts[0],
            "trashed": counts[1],
            "live": counts[2],
            "damaged_lines": int(counts[3]),
            "metric_points": int(points[0]) // STEP_BYTES,
            "checkpoints": checkpoints,
            "checkpoint_bytes": saved,
            "free_bytes": shutil.disk_usage(self.home.path).free,
        }


def read_untouched(home: Home, question: Callable[[Store], Answer]) -> Answer:
    """Return what ``question`` finds in a history, without creating or changing a file.

    It is asked again if another program has written to the database in the meantime.

    Raises:
        StoreError: when the history cannot be read.
    """
    for _ in range(_ATTEMPTS):
        with Store.open_untouched(home) as store:
            try:
                answer = question(store)
            except StoreError:
                if not store.database.is_overwritten:
                    raise
            else:
                if not store.database.is_overwritten:
                    return answer
    raise DatabaseLocked(f"{home.database} is being written by another program. Try again.")
