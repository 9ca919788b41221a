"""Read a run's metrics, checkpoints and attempts."""

from __future__ import annotations

import itertools
import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Final

import msgspec

from engine.protocol import JUDGED, MetricKey
from vld_tui.runs.metrics import Attempt, CheckpointInfo, MetricPoint, MetricSeries, Points
from vld_tui.store.database import Database
from vld_tui.store.kinds import NOTHING, NUMBER, TEXT, WHOLE, RowKinds
from vld_tui.store.series import IS_WHOLE, STEP_BYTES, unpack

_CHECKPOINT: Final = RowKinds({"kind": TEXT, "step": WHOLE, "file": TEXT, "bytes": WHOLE})
_ATTEMPT: Final = RowKinds(
    {
        "attempt": WHOLE,
        "started_at": NUMBER,
        "resumed_step": WHOLE + NOTHING,
        "pid": WHOLE,
        "host": TEXT,
        "versions": TEXT,
        "code_commit": TEXT + NOTHING,
        "ended_at": NUMBER + NOTHING,
        "outcome": TEXT + NOTHING,
        "step": WHOLE + NOTHING,
        "reason": TEXT + NOTHING,
    }
)
"""Types of the rows' values; rows with other types are skipped."""
_SERIES: Final = """
    SELECT name, split, domain, arm, steps, readings FROM series
    WHERE run = :run AND (:name IS NULL OR name = :name) AND (:split IS NULL OR split = :split)
    ORDER BY name, split, domain, arm, first_step
"""


def read_series(
    database: Database, key: int, *, name: str | None, split: str | None, domain: str | None
) -> list[MetricSeries]:
    """Return series by name, split, domain and arm; None: any.

    Raises:
        StoreError: when the database cannot be read.
    """
    rows = database.rows(_SERIES, {"run": key, "name": name, "split": split})
    found = []
    for columns, chunks in itertools.groupby(rows, key=lambda row: row[:4]):
        metric = MetricKey(*columns)
        if domain in (None, metric.shown_domain):
            found.append(MetricSeries(metric, unpack(chunk[4:] for chunk in chunks)))
    return sorted(found, key=_shown_order)


def _shown_order(series: MetricSeries) -> tuple[str, ...]:
    key = series.key
    return key.name, key.split, key.shown_domain, key.arm


_COUNTS: Final = """
    SELECT name, split, domain, arm, sum(length(steps)) FROM series WHERE run = :run
    GROUP BY name, split, domain, arm
"""


def read_thinned(
    database: Database, key: int, *, most: int, kept_step: int | None
) -> list[MetricSeries]:
    """Return all series by name, split, domain and arm, each of at most about ``most`` points.

    A longer series is thinned to evenly spaced points, including the last one and that of
    ``kept_step``; only these are held in memory.

    Raises:
        StoreError: when the database cannot be read.
    """
    counts = {row[:4]: row[4] // STEP_BYTES for row in database.rows(_COUNTS, {"run": key})}
    found = []
    with closing(database.each(_SERIES, {"run": key, "name": None, "split": None})) as rows:
        for columns, chunks in itertools.groupby(rows, key=lambda row: row[:4]):
            distance = max(1, math.ceil(counts.get(columns, 1) / most))
            points = _thinned((chunk[4:] for chunk in chunks), distance, kept_step)
            found.append(MetricSeries(MetricKey(*columns), points))
    return sorted(found, key=_shown_order)


def _thinned(chunks: Iterator[Sequence[bytes]], distance: int, kept_step: int | None) -> Points:
    """Return evenly spaced points of a series, its last one, and that of a step."""
    kept, before = Points.none(), 0
    last: tuple[int, float] | None = None
    for steps, readings in chunks:
        points = unpack([(steps, readings)])
        for at in range(-before % distance, len(points.steps), distance):
            kept.put(points.steps[at], points.values[at])
        before += len(points.steps)
        if kept_step is not None and points.steps and points.steps[0] <= kept_step:
            at = bisect_left(points.steps, kept_step)
            if at < len(points.steps) and points.steps[at] == kept_step:
                kept.put(kept_step, points.values[at])
        if points.steps:
            last = points.steps[-1], points.values[-1]
    if last is not None:
        kept.put(*last)
    in_order = dict(sorted(zip(kept.steps, kept.values, strict=True)))
    return Points(array("q", in_order), array("d", in_order.values()))


def read_metrics(
    database: Database,
    key: int,
    *,
    name: str | None,
    split: str | None,
    domain: str | None,
    step: int | None,
) -> list[MetricPoint]:
    """Return the points of each series in order of steps; None: any.

    Raises:
        StoreError: when the database cannot be read.
    """
    found = []
    for metric, points in read_series(database, key, name=name, split=split, domain=domain):
        steps, at = points.steps, range(len(points.steps))
        if step is not None:
            at = range(bisect_left(steps, step), bisect_right(steps, step))
        found += [
            MetricPoint(
                steps[i], metric.split, metric.shown_domain, metric.arm, metric.name, points.at(i)
            )
            for i in at
        ]  # fmt: skip
    return found


def read_checkpoints(database: Database, key: int) -> list[CheckpointInfo]:
    """Return the checkpoints, ``best`` before ``last``.

    Raises:
        StoreError: when the database cannot be read.
    """
    rows = database.rows(
        "SELECT kind, step, file, bytes FROM checkpoints WHERE run = ? ORDER BY kind", [key]
    )
    return [CheckpointInfo(*row) for row in rows if _CHECKPOINT.misfit(row) is None]


def read_attempts(database: Database, key: int) -> list[Attempt]:
    """Return the attempts, oldest first.

    Raises:
        StoreError: when the database cannot be read.
    """
    rows = database.rows(
        "SELECT attempt, started_at, resumed_step, pid, host, versions, code_commit, ended_at, "
        "outcome, step, reason FROM attempts WHERE run = ? ORDER BY attempt",
        [key],
    )
    return [
        Attempt(attempt, started_at, resumed_step, pid, host, _versions(text), *others)
        for attempt, started_at, resumed_step, pid, host, text, *others in (
            row for row in rows if _ATTEMPT.misfit(row) is None
        )
    ]


def _versions(text: str) -> dict[str, str]:
    """Return the versions that an attempt ran with; empty if damaged."""
    try:
        return msgspec.json.decode(text, type=dict[str, str])
    except (msgspec.DecodeError, TypeError):
        return {}


def read_ood_histories(
    database: Database, run_ids: Sequence[str], *, most: int
) -> dict[str, tuple[float, ...]]:
    """Return the OOD accuracies of the evaluations of each run, in order of steps.

    For a run with more than ``most``, evenly spaced evaluations are returned.

    Raises:
        StoreError: when the database cannot be read.
    """
    rows = database.rows(
        "SELECT run_id, readings FROM series JOIN runs ON runs.key = series.run "
        f"WHERE run_id IN ({', '.join('?' * len(run_ids))}) "
        "AND series.name = 'accuracy' AND split = 'in' AND domain = ? AND series.arm = runs.arm "
        f"AND {IS_WHOLE} "
        "ORDER BY run_id, first_step",
        [*run_ids, JUDGED],
    )
    histories: dict[str, array[float]] = {}
    for run_id, readings in rows:
        histories.setdefault(run_id, array("d")).frombytes(readings)
    return {
        run_id: tuple(values[:: math.ceil(len(values) / most)])
        for run_id, values in histories.items()
    }
