"""Metrics as packed series, so that a million points are read quickly, and the steps selected in
them while they are written.

A series is stored as rows of up to ``CHUNK`` points each, with steps ascending from row to row:
64-bit integers, and 64-bit floats where NaN stands for "not finite".
"""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from engine.protocol import JUDGED, MEASURES, MetricKey, Summary
from engine.protocol.measures import ACCURACY
from vld_tui.runs.metrics import Points
from vld_tui.store.errors import SeriesDamaged

CHUNK: Final = 512
"""Points per row; small, since appending rewrites the row."""
STEP_BYTES: Final = 8

_DAMAGED: Final = (
    "The stored metrics of a run are damaged.\nReread them from the run's folder: vld rebuild"
)
_OF_SERIES: Final = "run = ? AND name = ? AND split = ? AND domain = ? AND arm = ?"
IS_WHOLE: Final = "length(steps) = length(readings) AND length(steps) % 8 = 0"
"""Holds for the rows that can be unpacked."""
_ROWS: Final = f"SELECT steps, readings FROM series WHERE {_OF_SERIES} ORDER BY first_step"
_AROUND_STEP: Final = f"""
    SELECT name, split, domain, steps, readings FROM series
    JOIN (
        SELECT name, split, domain, max(first_step) AS first_step FROM series
        WHERE run = :run AND (name = '{ACCURACY}' OR domain = '{JUDGED}') AND arm = :arm
            AND first_step <= :step
        GROUP BY name, split, domain
    ) USING (name, split, domain, first_step)
    WHERE run = :run AND arm = :arm ORDER BY name, domain
"""


def unpack(rows: Iterable[tuple[bytes, bytes]]) -> Points:
    """Return the points of rows in order.

    Raises:
        SeriesDamaged: when a row's values and steps differ in number.
    """
    points, chunks = Points.none(), list(rows)
    try:
        for steps, values in chunks:
            points.steps.frombytes(steps)
            points.values.frombytes(values)
    except (ValueError, TypeError):
        raise SeriesDamaged(_DAMAGED) from None
    if len(points.steps) != len(points.values):
        raise SeriesDamaged(_DAMAGED)
    return points


class SeriesWriter:
    """Collects a run's points and writes each series at once.

    It writes inside the open transaction; points not written by :meth:`flush` are lost.
    """

    def __init__(self, connection: sqlite3.Connection, run: int) -> None:
        self._connection, self._run = connection, run
        self._pending: dict[MetricKey, Points] = {}

    def put(self, key: MetricKey, step: int, value: float | None) -> None:
        """Add a point; of several for one step the last counts."""
        points = self._pending.get(key)
        if points is None:
            points = self._pending[key] = Points.none()
        points.put(step, value)

    def flush(self) -> None:
        """Write the collected points."""
        if not self._pending:
            return
        is_first = self._connection.execute(
            "SELECT NOT EXISTS (SELECT 1 FROM series WHERE run = ?)", [self._run]
        ).fetchone()[0]
        for key, points in self._pending.items():
            last = None if is_first else self._last_chunk(key)
            is_ahead = last is None or last.steps[-1] < points.steps[0]
            if is_ahead and all(before < after for before, after in pairwise(points.steps)):
                if last is not None:
                    points = Points(last.steps + points.steps, last.values + points.values)  # noqa: PLW2901
                self._write(key, points)
            else:
                self._merge(key, points)
        self._pending.clear()

    def forget_after(self, step: int) -> None:
        """Delete every point of a higher step."""
        self.flush()
        self._connection.execute(
            "DELETE FROM series WHERE run = ? AND first_step > ?", [self._run, step]
        )
        keys = self._connection.execute(
            "SELECT DISTINCT name, split, domain, arm FROM series WHERE run = ?", [self._run]
        )
        for key in [MetricKey(*row) for row in keys.fetchall()]:
            last = self._last_chunk(key)
            if last is not None and last.steps[-1] > step:
                kept = sum(each <= step for each in last.steps)
                self._write(key, Points(last.steps[:kept], last.values[:kept]))

    def last_value(self, key: MetricKey) -> float | None:
        """Return the value at the highest written step; None: not finite, or none yet."""
        last = self._last_chunk(key)
        return None if last is None else last.at(-1)

    def _last_chunk(self, key: MetricKey) -> Points | None:
        row = self._connection.execute(f"{_ROWS} DESC LIMIT 1", [self._run, *key]).fetchone()
        return None if row is None else unpack([row])

    def _merge(self, key: MetricKey, points: Points) -> None:
        """Merge points with the existing ones, replacing equal steps."""
        place = [self._run, *key]
        before = unpack(self._connection.execute(_ROWS, place))
        merged = dict(zip(before.steps, before.values, strict=True))
        merged |= zip(points.steps, points.values, strict=True)
        self._connection.execute(f"DELETE FROM series WHERE {_OF_SERIES}", place)
        steps = sorted(merged)
        self._write(key, Points(array("q", steps), array("d", [merged[step] for step in steps])))

    def _write(self, key: MetricKey, points: Points) -> None:
        """Write points, replacing the row that starts with the first of them."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO series VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    self._run,
                    *key,
                    points.steps[start],
                    points.steps[start : start + CHUNK].tobytes(),
                    points.values[start : start + CHUNK].tobytes(),
                )
                for start in range(0, len(points.steps), CHUNK)
            ],
        )


def results_at(
    connection: sqlite3.Connection, run: int, step: int, arm: str
) -> tuple[dict[str, float], Summary]:
    """Return an arm's results at an evaluation: the accuracy of each domain, and the ID and OOD
    values of its measures; empty when there was none at this step.

    A domain's accuracy is that of its ``in`` split if it was left out of training, else of its
    ``out`` split, without augmentation.
    """
    accuracies: dict[tuple[str, str], float | None] = {}
    measures: dict[str, dict[str, float | None]] = {}
    around = connection.execute(_AROUND_STEP, {"run": run, "step": step, "arm": arm})
    for name, split, domain, *row in around.fetchall():
        points = unpack([(row[0], row[1])])
        at = points.index_of(step)
        if at is None:
            continue
        if name in MEASURES:
            measures.setdefault(name, {})[split] = points.at(at)
        elif domain != JUDGED:
            accuracies[split, domain] = points.at(at)
    domains: dict[str, float] = {}
    for (split, domain), value in accuracies.items():
        reported = "in" if ("in", domain) in accuracies else "out"
        if split == reported and value is not None:
            domains[domain] = value
    return domains, {
        name: (values.get("out"), values.get("in")) for name, values in measures.items()
    }


def best_evaluation(
    connection: sqlite3.Connection, run: int, arm: str
) -> tuple[int, float, float | None] | None:
    """Return step, ID and OOD accuracy where an arm's ID accuracy is highest, the earliest of
    equals; a run without a target has no OOD accuracy."""
    id_points, ood_points = (
        unpack(connection.execute(_ROWS, [run, *key]))
        for key in (MetricKey.id(arm), MetricKey.ood(arm))
    )
    ood_at = dict(zip(ood_points.steps, ood_points.values, strict=True))
    evaluations = zip(id_points.steps, id_points.values, strict=True)
    best = max(evaluations, key=lambda each: (each[1], -each[0]), default=None)
    return None if best is None else (*best, ood_at.get(best[0]))
