"""Whether the database is sound, and how big everything is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from vld_tui.home import Home
from vld_tui.store.database import MIGRATIONS, Database
from vld_tui.store.series import STEP_BYTES


def examine(database: Database, home: Home) -> dict[str, Any]:
    """Return the database's path, integrity (``ok`` or what is wrong), schema, sizes and counts.

    Raises:
        StoreError: when the database cannot be read at all.
    """
    problems = [message for (message,) in database.rows("PRAGMA integrity_check")]
    schema = database.row("PRAGMA user_version") or (0,)
    counts = database.row(
        "SELECT count(*), count(trashed_at), "
        "count(*) FILTER (WHERE status IN ('starting', 'running') AND trashed_at IS NULL), "
        "total(damaged_lines) FROM runs"
    ) or (0, 0, 0, 0)
    points = database.row("SELECT total(length(steps)) FROM series") or (0,)
    saved = database.row("SELECT count(*), total(bytes) FROM checkpoints") or (0, 0)
    return {
        "database": str(database.path),
        "integrity": "; ".join(problems),
        "schema": schema[0],
        "newest_schema": len(MIGRATIONS),
        "database_bytes": _size(database.path),
        "log_bytes": _size(database.path.with_name(f"{database.path.name}-wal")),
        "runs": counts[0],
        "trashed": counts[1],
        "live": counts[2],
        "damaged_lines": int(counts[3]),
        "metric_points": int(points[0]) // STEP_BYTES,
        "checkpoints": saved[0],
        "checkpoint_bytes": int(saved[1]),
        "free_bytes": shutil.disk_usage(home.path).free,
    }


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
