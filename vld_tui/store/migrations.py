"""The database's schema as a sequence of migrations.

A released migration never changes: new ones are added here and listed in
:data:`vld_tui.store.database.MIGRATIONS`.

Importing this is slow: sqlite_utils imports pandas if installed. Only a database
that is new or behind needs it.
"""

from __future__ import annotations

import itertools
import math
import sqlite3
from array import array
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import msgspec
import sqlite_utils
from msgspec import DecodeError
from sqlite_utils import Migrations
from sqlite_utils.db import Database

from engine.protocol import (
    CombinationError,
    CombinationSpec,
    configuration_identity,
    decode_combination,
    run_identity,
)
from engine.protocol.embedded import EARLIER_DEFAULT_DATASET
from vld_tui.store.specs import decode_stored_spec, encode_stored_spec

migrations = Migrations("vld")

_RUNS: Final = """
    CREATE TABLE runs (
        key INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice
        run_id TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        tags TEXT NOT NULL,            -- separated by spaces
        note TEXT NOT NULL,
        created_at REAL NOT NULL,      -- Unix seconds, as all times
        trashed_at REAL,
        spec TEXT NOT NULL,            -- JSON, every field
        arm TEXT NOT NULL,
        target TEXT,
        launched_at REAL NOT NULL,     -- when it was last given to a process
        past_process TEXT,             -- pid and start time of the one it had before
        status TEXT NOT NULL CHECK (status IN
            ('starting', 'running', 'finished', 'stopped', 'failed', 'crashed')),
        error TEXT,
        exit_code INTEGER,
        collapsed_step INTEGER,
        step INTEGER NOT NULL DEFAULT 0,
        selected_step INTEGER,
        id_accuracy REAL,
        ood_accuracy REAL,
        domains TEXT NOT NULL DEFAULT '{}',  -- JSON: accuracy by domain
        loss REAL,
        steps_per_s REAL,
        images_per_s REAL,
        seconds_left REAL,
        wall_s REAL,
        pid INTEGER,
        host TEXT,
        precision TEXT,
        memory_format TEXT,
        device TEXT,
        attempts INTEGER NOT NULL DEFAULT 0,
        last_event_at REAL,
        last_seq INTEGER NOT NULL DEFAULT -1,
        events_offset INTEGER NOT NULL DEFAULT 0,
        damaged_lines INTEGER NOT NULL DEFAULT 0
    )
"""
_ATTEMPTS: Final = """
    CREATE TABLE attempts (
        run INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
        attempt INTEGER NOT NULL,
        started_at REAL NOT NULL,
        resumed_step INTEGER,
        pid INTEGER NOT NULL,
        host TEXT NOT NULL,
        versions TEXT NOT NULL,        -- JSON
        code_commit TEXT,
        ended_at REAL,
        outcome TEXT,
        step INTEGER,
        reason TEXT,
        PRIMARY KEY (run, attempt)
    ) WITHOUT ROWID
"""
_EVALUATIONS: Final = """
    CREATE TABLE evaluations (
        run INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
        step INTEGER NOT NULL,
        arm TEXT NOT NULL,
        id_accuracy REAL NOT NULL,
        ood_accuracy REAL NOT NULL,
        PRIMARY KEY (run, step)
    ) WITHOUT ROWID
"""
_METRICS: Final = """
    CREATE TABLE metrics (
        run INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
        step INTEGER NOT NULL,
        split TEXT NOT NULL,
        domain TEXT NOT NULL,
        arm TEXT NOT NULL,
        name TEXT NOT NULL,
        value REAL,
        PRIMARY KEY (run, step, split, domain, arm, name)
    ) WITHOUT ROWID
"""
_CHECKPOINTS: Final = """
    CREATE TABLE checkpoints (
        run INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
        kind TEXT NOT NULL,
        step INTEGER NOT NULL,
        file TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        PRIMARY KEY (run, kind)
    ) WITHOUT ROWID
"""
_SERIES: Final = """
    CREATE TABLE series (
        run INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
        name TEXT NOT NULL,
        split TEXT NOT NULL,
        domain TEXT NOT NULL,          -- '': ID accuracy in split out, OOD accuracy in split in
        arm TEXT NOT NULL,
        first_step INTEGER NOT NULL,
        steps BLOB NOT NULL,           -- int64, ascending, those of later rows higher
        readings BLOB NOT NULL,        -- float64, one for each step; NaN: not finite
        PRIMARY KEY (run, name, split, domain, arm, first_step)
    ) WITHOUT ROWID
"""
_ARMS: Final = """
    CREATE TABLE arms (
        run INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
        arm TEXT NOT NULL,             -- other than the run's own
        selected_step INTEGER NOT NULL,
        id_accuracy REAL NOT NULL,
        ood_accuracy REAL NOT NULL,
        domains TEXT NOT NULL,         -- JSON: accuracy by domain
        PRIMARY KEY (run, arm)
    ) WITHOUT ROWID
"""
_NOTIFICATIONS: Final = """
    CREATE TABLE notifications (
        notification INTEGER PRIMARY KEY AUTOINCREMENT,
        subject TEXT NOT NULL UNIQUE,  -- what happened: it is sent once
        event TEXT NOT NULL,           -- a word of notify.on
        run_id TEXT,                   -- of an event of a run
        study TEXT,                    -- of an event of a study
        happened_at REAL NOT NULL,
        status TEXT NOT NULL DEFAULT 'due' CHECK (status IN ('due', 'sent', 'failed', 'dropped')),
        sender TEXT,                   -- what is sending it, if anything
        tries INTEGER NOT NULL DEFAULT 0,
        done_at REAL,
        problem TEXT,
        is_reported INTEGER NOT NULL DEFAULT 0
    )
"""
_INDEXES: Final = (
    "CREATE INDEX runs_by_creation ON runs (created_at)",
    "CREATE INDEX runs_by_name ON runs (name)",
    "CREATE INDEX live_runs ON runs (key) WHERE status IN ('starting', 'running')",
)


def apply(connection: sqlite3.Connection) -> None:
    """Migrate the database inside the open transaction.

    Raises:
        sqlite3.Error: when a migration fails.
    """
    migrations.apply(sqlite_utils.Database(connection))


@migrations()
def m001_runs(db: Database) -> None:
    """Runs, how they went, and what they measured."""
    for statement in (_RUNS, *_INDEXES, _ATTEMPTS, _EVALUATIONS, _METRICS, _CHECKPOINTS):
        db.execute(statement)


@migrations()
def m002_kept_runs(db: Database) -> None:
    """Index the runs that are not in the trash, to count and page through them."""
    db.execute("CREATE INDEX kept_runs ON runs (created_at, key) WHERE trashed_at IS NULL")


@migrations()
def m003_queue(db: Database) -> None:
    """Add the queue, the GPUs of runs, and settings."""
    db.execute("ALTER TABLE runs ADD COLUMN queue_position REAL")
    db.execute("ALTER TABLE runs ADD COLUMN queue_held INTEGER NOT NULL DEFAULT 0")
    db.execute("ALTER TABLE runs ADD COLUMN gpu TEXT")
    db.execute("CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")
    # Adds a status. Recreating the table would delete the rows that refer to it, and
    # SQLite has no statement that changes a check; this is the way its documentation gives.
    (version,) = db.execute("PRAGMA schema_version").fetchone()
    db.execute("PRAGMA writable_schema = ON")
    db.execute(
        "UPDATE sqlite_master SET sql = replace(sql, '(''starting'', ', "
        "'(''queued'', ''starting'', ') WHERE type = 'table' AND name = 'runs'"
    )
    db.execute(f"PRAGMA schema_version = {version + 1}")
    db.execute("PRAGMA writable_schema = OFF")
    db.execute("CREATE INDEX queued_runs ON runs (queue_position) WHERE status = 'queued'")


_POINTS: Final = """
    SELECT run, name, split, domain, arm, step, value FROM metrics
    UNION ALL SELECT run, 'accuracy', 'out', '', arm, step, id_accuracy FROM evaluations
    UNION ALL SELECT run, 'accuracy', 'in', '', arm, step, ood_accuracy FROM evaluations
    ORDER BY 1, 2, 3, 4, 5, 6
"""


@migrations()
def m004_series(db: Database) -> None:
    """Pack the values of each series: one row per value took seconds to read."""
    db.execute(_SERIES)
    points = db.execute(_POINTS)
    db.conn.executemany("INSERT INTO series VALUES (?, ?, ?, ?, ?, ?, ?, ?)", _packed(points))
    db.execute("DROP TABLE metrics")
    db.execute("DROP TABLE evaluations")


@migrations()
def m005_best_first(db: Database) -> None:
    """Index runs by accuracy, to page through them."""
    for accuracy in ("ood_accuracy", "id_accuracy"):
        db.execute(
            f"CREATE INDEX kept_runs_by_{accuracy} ON runs ({accuracy}, created_at, key) "
            "WHERE trashed_at IS NULL"
        )


@migrations()
def m006_arms(db: Database) -> None:
    """Add the results of arms, combinations, and identities."""
    db.execute(_ARMS)
    for column in ("combination", "identity", "configuration"):  # the last two: see identity.py
        db.execute(f"ALTER TABLE runs ADD COLUMN {column} TEXT")
    rows = db.execute("SELECT key, spec, combination FROM runs").fetchall()
    db.conn.executemany(
        "UPDATE runs SET spec = ?, identity = ?, configuration = ? WHERE key = ?", _identified(rows)
    )
    for column in ("identity", "configuration"):
        db.execute(f"CREATE INDEX runs_by_{column} ON runs ({column})")


@migrations()
def m007_images(db: Database) -> None:
    """Add the digest of a run's images, and update identities."""
    db.execute("ALTER TABLE runs ADD COLUMN data_digest TEXT NOT NULL DEFAULT ''")
    rows = db.execute("SELECT key, spec, combination FROM runs").fetchall()
    db.conn.executemany(
        "UPDATE runs SET spec = ?, identity = ?, configuration = ? WHERE key = ?", _identified(rows)
    )


@migrations()
def m008_lost_runs(db: Database) -> None:
    """Index crashed runs that may come back, which are checked every second."""
    db.execute(
        "CREATE INDEX lost_runs ON runs (created_at) WHERE status = 'crashed' AND exit_code IS NULL"
    )


@migrations()
def m009_jobs(db: Database) -> None:
    """Add the cluster job of a run."""
    for column in ("job", "job_state", "job_reason", "job_node"):
        db.execute(f"ALTER TABLE runs ADD COLUMN {column} TEXT")
    db.execute("ALTER TABLE runs ADD COLUMN job_open INTEGER NOT NULL DEFAULT 0")
    db.execute("CREATE INDEX open_jobs ON runs (job) WHERE job_open = 1")


@migrations()
def m010_gpus(db: Database) -> None:
    """Add GPUs and machines to stored specs."""
    rows = db.execute("SELECT key, spec, combination FROM runs").fetchall()
    db.conn.executemany(
        "UPDATE runs SET spec = ?, identity = ?, configuration = ? WHERE key = ?", _identified(rows)
    )


@migrations()
def m011_damage(db: Database) -> None:
    """Add the reason why a run's folder cannot be read."""
    db.execute("ALTER TABLE runs ADD COLUMN damage TEXT")


@migrations()
def m012_recovered(db: Database) -> None:
    """Add the step at which a collapsed run recovered."""
    db.execute("ALTER TABLE runs ADD COLUMN recovered_step INTEGER")


@migrations()
def m013_no_target(db: Database) -> None:
    """Allow arms without an OOD accuracy, for runs without a target."""
    db.execute("ALTER TABLE arms RENAME TO old_arms")
    db.execute(_ARMS.replace("ood_accuracy REAL NOT NULL", "ood_accuracy REAL"))
    db.execute("INSERT INTO arms SELECT * FROM old_arms")
    db.execute("DROP TABLE old_arms")


@migrations()
def m014_evaluation_precision(db: Database) -> None:
    """Add the precision of a run's evaluations; NULL in older runs, as in training."""
    db.execute("ALTER TABLE runs ADD COLUMN evaluation_precision TEXT")


@migrations()
def m015_measures(db: Database) -> None:
    """Know what else was measured at the selected step, of runs and of arms."""
    for table in ("runs", "arms"):
        db.execute(f"ALTER TABLE {table} ADD COLUMN measures TEXT NOT NULL DEFAULT '{{}}'")


@migrations()
def m016_preset_data(db: Database) -> None:
    """Name the data set of the form's presets: those without one were saved for the emoji."""
    for (text,) in db.execute("SELECT value FROM settings WHERE name = 'presets'").fetchall():
        try:
            presets = msgspec.json.decode(text, type=dict[str, dict[str, str]])
        except DecodeError:  # left unchanged, as it cannot be read either
            continue
        for preset in presets.values():
            if "data_dir" not in preset:
                preset.setdefault("dataset", EARLIER_DEFAULT_DATASET)
        changed = msgspec.json.encode(presets).decode()
        db.execute("UPDATE settings SET value = ? WHERE name = 'presets'", [changed])


@migrations()
def m017_notifications(db: Database) -> None:
    """Add notifications, and make the settings of the queue one section of the configuration."""
    db.execute(_NOTIFICATIONS)
    db.execute(
        "CREATE INDEX due_notifications ON notifications (notification) WHERE status = 'due'"
    )
    queue = {}
    for name, key in (("queue_slots", "slots"), ("queue_gpus", "gpus")):
        row = db.execute("SELECT value FROM settings WHERE name = ?", [name]).fetchone()
        if row is None:
            continue
        with suppress(DecodeError):  # invalid, so it had no effect
            queue[key] = msgspec.json.decode(row[0])
        db.execute("DELETE FROM settings WHERE name = ?", [name])
    if queue:
        text = msgspec.json.encode(queue).decode()
        db.execute("INSERT OR REPLACE INTO settings VALUES ('queue', ?)", [text])


@migrations()
def m018_phase(db: Database) -> None:
    """Add the phase that a running run is in, as JSON; NULL: it reported none."""
    db.execute("ALTER TABLE runs ADD COLUMN phase TEXT")


@migrations()
def m019_gone(db: Database) -> None:
    """Keep the mark of a missing folder apart from the reason why a folder cannot be read."""
    db.execute("ALTER TABLE runs ADD COLUMN gone INTEGER NOT NULL DEFAULT 0")
    db.execute("UPDATE runs SET gone = 1, damage = NULL WHERE damage = 'gone'")
    db.execute("CREATE INDEX gone_runs ON runs (key) WHERE gone = 1")


def _identified(rows: list[tuple[int, str, str | None]]) -> Iterator[tuple[str, str, str, int]]:
    """Yield specs with every field this program knows, and their identities."""
    for key, text, combined in rows:
        try:
            spec = decode_stored_spec(text)
            task = spec if combined is None else CombinationSpec(spec, decode_combination(combined))
        except (DecodeError, CombinationError):  # left unchanged, to be read by a rebuild
            continue
        identities = run_identity(task), configuration_identity(task)
        yield encode_stored_spec(spec), *identities, key


def _packed(points: sqlite3.Cursor) -> Iterator[tuple[Any, ...]]:
    """Yield the rows that hold points in order, 512 of them at most in each."""
    for series, group in itertools.groupby(points, key=lambda point: point[:5]):
        while chunk := list(itertools.islice(group, 512)):
            steps = array("q", [point[5] for point in chunk])
            values = [math.nan if point[6] is None else point[6] for point in chunk]
            yield *series, steps[0], steps.tobytes(), array("d", values).tobytes()
