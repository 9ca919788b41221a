"""Open the database, check its schema, and keep its errors readable."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from engine.rundir import describe_disk
from vld_tui.store.errors import (
    DatabaseDamaged,
    DatabaseLocked,
    DatabaseTooLarge,
    DatabaseUnwritable,
    QueryError,
    StoreError,
)
from vld_tui.store.patterns import TOO_SLOW, Matcher
from vld_tui.words.ordering import natural_key

MIGRATIONS: Final = (
    "m001_runs", "m002_kept_runs", "m003_queue", "m004_series", "m005_best_first", "m006_arms",
    "m007_images", "m008_lost_runs", "m009_jobs", "m010_gpus", "m011_damage",
    "m012_recovered", "m013_no_target", "m014_evaluation_precision", "m015_measures",
    "m016_preset_data", "m017_notifications", "m018_phase", "m019_gone",
)  # fmt: skip
"""Every schema change this program knows, oldest first: the names in ``migrations.py``."""

BUSY_TIMEOUT_S: Final = 5.0
MOST_AT_ONCE: Final = 900
"""Values asked for in one query; SQLite takes a thousand parameters everywhere."""
MOST_COPIED_BYTES: Final = 2**29
"""Maximum size of a database that is copied into memory if it cannot be written."""
_LEAST_ROOM: Final = 2**17
"""Bytes without which SQLite cannot even make the index of a write-ahead log, nor extend it."""
_OF_ANOTHER_SCHEMA: Final = re.compile(
    r"no such (table|column|index)|table \S+ (has no column|already exists)"
)
UNREADABLE: Final = "temp.unreadable"
"""Keys of runs with invalid rows among those read: a table of this connection only, since another
version of this program may accept them."""
_NEEDED_TABLE: Final = "_sqlite_migrations"

Parameters = Sequence[Any] | Mapping[str, Any]
Stamp = tuple[int, int, int] | None
"""Inode, size and modification time (ns) of a file, or None if missing."""
Row = tuple[Any, ...]
Answer = TypeVar("Answer")
_Value = TypeVar("_Value")


class Database:
    """An open database of the newest schema. It belongs to the thread that opened it."""

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        *,
        is_read_only: bool = False,
        is_copy: bool = False,
        problem: str | None = None,
    ) -> None:
        self.path = path
        self.is_read_only = is_read_only
        self.problem = problem
        """Why a database that should be writable is not."""
        self.is_copy = is_copy
        """Whether it is in memory, so that writes are lost."""
        self._file = _file_number(path)
        self._stamp: Stamp = None
        self._use(connection)

    def _use(self, connection: sqlite3.Connection) -> None:
        """Prepare a connection for queries."""
        self._connection = connection
        self._matcher = matcher = Matcher()
        connection.create_function("matches", 2, matcher.matches, deterministic=True)
        connection.create_function("matches_word", 2, matcher.matches_word, deterministic=True)
        connection.create_function("natural_key", 1, natural_key, deterministic=True)
        self._unreadable: set[int] = set()
        self._noted_at = (0, 0)
        with _readable_errors(self.path):
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute(f"CREATE TABLE {UNREADABLE} (key INTEGER PRIMARY KEY)")

    @classmethod
    def open(cls, path: Path) -> Database:
        """Open the database, creating or migrating it if needed.

        A database that cannot be written, such as on a read-only disk, is opened read-only.

        Raises:
            StoreError: when it is damaged, locked, or of a newer program's schema.
        """
        if path.is_file() and not _is_writable(path):
            return cls._open_to_read(path)
        try:
            return cls._open_to_write(path)
        except DatabaseUnwritable as error:  # such as on a disk without room for the log's index
            if not path.is_file():
                raise
            return cls._open_to_read(path, problem=str(error))

    @classmethod
    def _open_to_write(cls, path: Path) -> Database:
        if not path.exists():
            with contextlib.suppress(OSError):  # SQLite reports the problem
                path.touch()  # SQLite would deny group writes regardless of the umask
        with _readable_errors(path):
            connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        try:
            with _readable_errors(path):
                connection.execute("PRAGMA foreign_keys = ON")
                connection.execute("PRAGMA synchronous = NORMAL")
                if _is_behind(connection, path):
                    _migrate(connection, path)
        except BaseException:
            connection.close()
            raise
        return cls(path, connection)

    @classmethod
    def _open_to_read(cls, path: Path, problem: str | None = None) -> Database:
        with _readable_errors(path):
            connection = connect_to_read(path)
        try:
            with _readable_errors(path):
                if _is_behind(connection, path):
                    raise StoreError(
                        f"{path} was written by an older version of this program and cannot be "
                        "upgraded without write access. Copy the home to a writable disk."
                    )
        except BaseException:
            connection.close()
            raise
        return cls(path, connection, is_read_only=True, problem=problem)

    @classmethod
    def open_untouched(cls, path: Path) -> Database:
        """Open an existing database without creating or changing a file; one of an older schema is
        upgraded in memory.

        Another program may write to the file while it is read: see :attr:`is_overwritten`.

        Raises:
            StoreError: when it is damaged, of a newer program's schema, or too large to be copied.
        """
        stamp = None if _has_index(path) else _stamp(path)
        is_copy = False
        with _readable_errors(path):
            connection = connect_to_read(path, is_untouched=True)
        try:
            with _readable_errors(path):
                if _is_behind(connection, path):
                    copy = _copied(connection, path)
                    connection.close()
                    connection, is_copy = copy, True
                    _migrate(connection, path)
        except BaseException:
            connection.close()
            raise
        database = cls(path, connection, is_read_only=not is_copy, is_copy=is_copy)
        database._stamp = stamp
        return database

    @property
    def is_overwritten(self) -> bool:
        """Return whether what was read from a database opened untouched may be inconsistent."""
        return self._stamp is not None and _stamp(self.path) != self._stamp

    @classmethod
    def in_memory(cls, path: Path) -> Database:
        """Return an empty database in memory instead of the one at ``path``."""
        connection = sqlite3.connect(":memory:", isolation_level=None)
        connection.execute("PRAGMA foreign_keys = ON")
        _migrate(connection, path)
        return cls(path, connection, is_copy=True)

    def become_copy(self) -> None:
        """Continue on a copy in memory, because the file cannot be written.

        Raises:
            StoreError: when the file cannot be read, or is too large to be copied.
        """
        with _readable_errors(self.path):
            connection = _copied(self._connection, self.path)
        self._connection.close()
        self.is_read_only, self.is_copy, self.problem = False, True, None
        self._use(connection)

    def scratch(self) -> Database:
        """Return an empty database of the same schema in memory, to be filled and copied from."""
        schema = self.rows(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' "
            "ORDER BY rowid"
        )
        connection = sqlite3.connect(":memory:", isolation_level=None)
        with _readable_errors(self.path):
            connection.execute("PRAGMA foreign_keys = ON")
            for (statement,) in schema:
                connection.execute(statement)
        return Database(self.path, connection)

    @property
    def is_replaced(self) -> bool:
        """Return whether another file, or none, has taken the place of the one that is open."""
        return _file_number(self.path) != self._file

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def rows(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Return all rows of a query.

        Raises:
            StoreError: when the database cannot be read.
        """
        return self._ask(lambda: self._connection.execute(sql, parameters).fetchall())

    def each(self, sql: str, parameters: Parameters = ()) -> Generator[Row, None, None]:
        """Yield the rows of a query one by one; close it if it is not read to the end.

        Raises:
            StoreError: when the database cannot be read.
        """
        with self._reading():
            yield from self._connection.execute(sql, parameters)

    def row(self, sql: str, parameters: Parameters = ()) -> Row | None:
        """Return the first row of a query, if there is one.

        Raises:
            StoreError: when the database cannot be read.
        """
        found: Row | None = self._ask(lambda: self._connection.execute(sql, parameters).fetchone())
        return found

    def count(self, source: str, parameters: Parameters = ()) -> int:
        """Return the number of rows of ``source``, what follows FROM.

        Raises:
            StoreError: when the database cannot be read.
        """
        (count,) = self.row(f"SELECT count(*) FROM {source}", parameters) or (0,)
        return int(count)

    def _ask(self, query: Callable[[], Answer]) -> Answer:
        """Return what a query finds; bytes that are not text are replaced."""
        with self._reading():
            try:
                return query()
            except sqlite3.OperationalError as error:
                if "decode to UTF-8" not in str(error):
                    raise
            self._connection.text_factory = lambda data: data.decode(errors="replace")
            try:
                return query()
            finally:
                self._connection.text_factory = str

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Keep the errors of the block's query readable."""
        self._matcher.begin()
        with _readable_errors(self.path):
            try:
                yield
            except sqlite3.OperationalError:
                if self._matcher.is_out_of_time:
                    raise QueryError(TOO_SLOW) from None
                raise

    def note_unreadable(self, keys: Collection[int]) -> bool:
        """Record runs with invalid rows; return whether any of them is new."""
        new = set(keys) - self._unreadable
        if new:
            self._unreadable |= new
            statement = f"INSERT INTO {UNREADABLE} VALUES (?)"
            self._connection.executemany(statement, [(key,) for key in new])
            self._noted_at = self.version()
        return bool(new)

    def recheck_unreadable(self) -> None:
        """Clear the list of invalid rows after a write."""
        if self._unreadable and self.version() != self._noted_at:
            self._unreadable.clear()
            self._connection.execute(f"DELETE FROM {UNREADABLE}")

    def version(self) -> tuple[int, int]:
        """Return a value that changes whenever any program writes to the database.

        Raises:
            StoreError: when the database cannot be read.
        """
        (of_others,) = self.row("PRAGMA data_version") or (0,)
        return int(of_others), self._connection.total_changes

    def problems(self) -> list[str]:
        """Return the damage found in the file; empty if none.

        Raises:
            StoreError: when it cannot be checked.
        """
        found = [str(message) for (message,) in self.rows("PRAGMA quick_check(10)")]
        return [] if found == ["ok"] else found

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Open a write transaction for the block.

        Raises:
            StoreError: when it is locked for too long or cannot be written.
        """
        with _readable_errors(self.path), _transaction(self._connection):
            yield self._connection


def in_parts(values: Sequence[_Value]) -> Iterator[tuple[str, Sequence[_Value]]]:
    """Yield values, few enough for one query at a time, after placeholders for them."""
    for start in range(0, len(values), MOST_AT_ONCE):
        part = values[start : start + MOST_AT_ONCE]
        yield ", ".join("?" * len(part)), part


def _copied(connection: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    """Return a connection to a copy of a database in memory.

    Raises:
        DatabaseTooLarge: when it is larger than :data:`MOST_COPIED_BYTES`.
    """
    if path.stat().st_size > MOST_COPIED_BYTES:
        raise DatabaseTooLarge(f"{path} is too large to copy into memory.")
    copy = sqlite3.connect(":memory:", isolation_level=None)
    connection.backup(copy)
    copy.execute("PRAGMA foreign_keys = ON")
    return copy


def connect_to_read(path: Path, *, is_untouched: bool = False) -> sqlite3.Connection:
    """Connect to a database that cannot be written, or must not be touched.

    SQLite reads a database with a write-ahead log there only if the log's files exist; otherwise it
    must be opened as immutable. A database whose log has changes is read into memory. Where SQLite
    could create the log's files, it does so, unless the database ``is_untouched``.
    """
    place = f"{path.absolute().as_uri()}?mode=ro"
    if not is_untouched or _has_index(path):
        connection: sqlite3.Connection | None = None
        try:
            connection = sqlite3.connect(place, uri=True, isolation_level=None)
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            if connection is not None:
                connection.close()
        else:
            return connection
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        with contextlib.suppress(OSError, sqlite3.Error):
            return _read_elsewhere(path, log)
        raise StoreError(
            f"{path} was in use when it was copied or made read-only: its latest changes are "
            f"in {log.name}, which cannot be read without write access. Copy the home to a "
            "writable disk."
        )
    return sqlite3.connect(f"{place}&immutable=1", uri=True, isolation_level=None)


def _has_index(path: Path) -> bool:
    """Return whether the index of the write-ahead log exists, as while a program has it open."""
    return path.with_name(f"{path.name}-shm").exists()


def _read_elsewhere(path: Path, log: Path) -> sqlite3.Connection:
    """Return a copy in memory of a database with its write-ahead log, read in another folder.

    Raises:
        OSError: when there is no space for the copy.
        sqlite3.Error: when it cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        for part in (path, log):
            shutil.copy(part, Path(folder, part.name))
        with contextlib.closing(sqlite3.connect(Path(folder, path.name))) as source:
            connection = sqlite3.connect(":memory:", isolation_level=None)
            source.backup(connection)
    return connection


def free_bytes(folder: Path) -> int:
    """Return the free bytes for this user on a folder's disk; a large number if unknown."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 2**63


def _is_writable(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK | os.X_OK)


def _file_number(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def schema_version(connection: sqlite3.Connection) -> int:
    """Return how many schema changes the database has seen."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _is_behind(connection: sqlite3.Connection, path: Path) -> bool:
    """Return whether the schema lacks a change.

    Raises:
        StoreError: when it has one that this program does not know.
    """
    applied = _applied(connection)
    if not applied <= set(MIGRATIONS) or schema_version(connection) > len(MIGRATIONS):
        raise StoreError(
            f"{path} was written by a newer version of this program. Upgrade vld-tui, or use "
            "another --home."
        )
    return applied != set(MIGRATIONS)


def _applied(connection: sqlite3.Connection) -> set[str]:
    tables = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", [_NEEDED_TABLE])
    if tables.fetchone() is None:
        return set()
    names = connection.execute(f"SELECT name FROM {_NEEDED_TABLE} WHERE migration_set = 'vld'")
    return {name for (name,) in names}


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    from vld_tui.store import migrations  # slow, and needed once in a while

    connection.execute("PRAGMA journal_mode = WAL")
    with _transaction(connection):
        if _is_behind(connection, path):  # unless another process was faster
            migrations.apply(connection)
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def _readable_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OverflowError as error:  # a number larger than SQLite's
        raise StoreError(_bug_message(error, path)) from error
    except sqlite3.Error as error:
        raise _user_error(error, path) from error


def _user_error(error: sqlite3.Error, path: Path) -> StoreError:
    """Return the user error for an SQLite error, with what to do."""
    name = getattr(error, "sqlite_errorname", "SQLITE_").split("_")[1]
    match name:
        case "CORRUPT" | "NOTADB":
            return DatabaseDamaged(
                f"{path} is damaged: {error}.\nTo move it away and rebuild it, run: vld rebuild"
            )
        case "FULL" | "CANTOPEN" | "READONLY" | "PERM" | "IOERR":
            is_full = name == "FULL" or free_bytes(path.parent) < _LEAST_ROOM
            problem = "no space left" if is_full else error
            return DatabaseUnwritable(
                f"{path} cannot be used: {problem}. Its disk: {describe_disk(path.parent)}."
            )
        case "BUSY" | "LOCKED" | "PROTOCOL":
            return DatabaseLocked(f"{path} is locked by another program. Try again.")
    if _OF_ANOTHER_SCHEMA.match(str(error)):
        return StoreError(
            f"{path} was changed by another program, or is damaged: {error}.\n"
            "Move it away, then run: vld rebuild"
        )
    return StoreError(_bug_message(error, path))


def _bug_message(error: Exception, path: Path) -> str:
    """Return the message for a faulty query, which is not damage to the database."""
    return f"A database query failed: {error}.\nThis is a bug in vld; {path} is unchanged."
