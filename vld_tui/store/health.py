"""Database integrity and sizes."""

from __future__ import annotations

import shutil
from typing import Any

from vld_tui.home import Home
from vld_tui.store.database import MIGRATIONS, Database
from vld_tui.store.prune import checkpoint_files, size_of
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
    checkpoints = saved = 0
    for size in checkpoint_files(home):
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
        "free_bytes": shutil.disk_usage(home.path).free,
    }
