"""Mark runs whose folders cannot be read as damaged, with the reason."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from engine.rundir import RunDir


def note_damage(
    connection: sqlite3.Connection, run_dir: RunDir, reason: str, *, is_trashed: bool
) -> None:
    """Record, inside the open transaction, why a run's folder cannot be read, keeping the run's
    data in the history."""
    run_id, user = run_dir.run_id, run_dir.read_user()
    damage = (
        f"{reason.removesuffix('.')}.\nFix it and run vld rebuild, or remove it: vld rm {run_id}"
    )
    changed_at = _changed_at(run_dir.path)
    trashed_at = (user.trashed_at or changed_at) if is_trashed else None
    known = connection.execute(
        "UPDATE runs SET damage = ?, trashed_at = ? WHERE run_id = ?", [damage, trashed_at, run_id]
    )
    if known.rowcount:
        return
    created_at = user.created_at or changed_at
    connection.execute(
        "INSERT INTO runs (run_id, name, tags, note, created_at, trashed_at, spec, arm, "
        "launched_at, status, damage) VALUES (?, ?, ?, ?, ?, ?, 'null', '', ?, 'failed', ?)",
        [
            run_id, user.name or run_id, " ".join(user.tags), user.note, created_at, trashed_at,
            created_at, damage,
        ],
    )  # fmt: skip


def note_missing(connection: sqlite3.Connection, key: int, run_id: str, path: Path) -> str:
    """Record, inside the open transaction, that a run's folder is missing; return the reason."""
    reason = f"{path} is missing; the run exists only in the database"
    advice = f"Put the folder back and run vld rebuild, or remove the run: vld rm {run_id}"
    connection.execute("UPDATE runs SET damage = ? WHERE key = ?", [f"{reason}.\n{advice}", key])
    return reason


def _changed_at(path: Path) -> float:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return 0.0
