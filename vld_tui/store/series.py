"""What runs measured: series, arms, evaluations and attempts.

A series is stored as rows of up to ``CHUNK`` points each, with steps ascending from row to row:
64-bit integers, and 64-bit floats where NaN stands for "not finite".
"""

from __future__ import annotations

import itertools
import math
import sqlite3
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from itertools import pairwise
from typing import Final

import msgspec

from engine.protocol import JUDGED, MEASURES, MetricKey, Summary
from engine.protocol.measures import ACCURACY
from vld_tui.runs.metrics import Attempt, LastEvaluation, MetricPoint, MetricSeries, Points
from vld_tui.runs.run import ArmResult
from vld_tui.store.columns import NOTHING, NUMBER, TEXT, WHOLE, RowKinds
from vld_tui.store.database import Database, Row, in_parts
from vld_tui.store.errors import SeriesDamaged
from vld_tui.store.lookup import find_by_id

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
LONGEST_HISTORY: Final = 512
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
"""Types of the values of an attempt; rows with other types are skipped."""
_SERIES: Final = """
    SELECT name, split, domain, arm, steps, readings FROM series
    WHERE run = :run AND (:name IS NULL OR name = :name) AND (:split IS NULL OR split = :split)
    ORDER BY name, split, domain, arm, first_step
"""
_COUNTS: Final = """
    SELECT name, split, domain, arm, sum(length(steps)) FROM series WHERE run = :run
    GROUP BY name, split, domain, arm
"""
_ARMS: Final = """
    SELECT run_id, arms.arm, arms.selected_step, arms.id_accuracy, arms.ood_accuracy,
        arms.domains, arms.measures
    FROM arms JOIN runs ON runs.key = arms.run
    WHERE run_id IN ({}) ORDER BY run_id, arms.arm
"""
_OOD_CHUNKS: Final = """
    SELECT run_id, readings FROM series JOIN runs ON runs.key = series.run
    WHERE run_id IN ({}) AND series.name = 'accuracy' AND split = 'in' AND domain = '{}'
        AND series.arm = runs.arm AND {}
    ORDER BY run_id, first_step
"""
_LAST_CHUNKS: Final = """
    SELECT run_id, series.arm, split, domain, max(first_step), steps, readings
    FROM runs JOIN series ON series.run = runs.key
    WHERE run_id IN ({}) AND series.name = '{}' AND domain IN ('{}', runs.target)
    GROUP BY series.run, split, domain, series.arm
"""
_CHUNKS_OF: Final = """
    SELECT run_id, series.arm, split, domain, steps, readings
    FROM runs JOIN series ON series.run = runs.key
    WHERE run_id IN ({}) AND series.name = '{}'
"""
"""SQLite takes the other columns from the row of the maximum."""
JudgedSplit = tuple[str, bool]
"""A split, and whether it is of the reported accuracy rather than of the target by name."""


def unpack(rows: Iterable[tuple[bytes, bytes]]) -> Points:
    """Return the points of rows in order.

    Raises:
        SeriesDamaged: when a row's values and steps differ in number.
    """
    points, chunks = Points.none(), list(rows)
    try:
        points.steps.frombytes(b"".join(steps for steps, _ in chunks))
        points.values.frombytes(b"".join(values for _, values in chunks))
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
    connection: sqlite3.Connection, run: int, score: MetricKey
) -> tuple[int, float, float | None] | None:
    """Return step, ID and OOD accuracy where the values of ``score`` are highest, the earliest of
    equals; a run without a target has no OOD accuracy."""
    scores, ids, oods = (
        dict(zip(points.steps, points.values, strict=True))
        for key in (score, MetricKey.id(score.arm), MetricKey.ood(score.arm))
        for points in [unpack(connection.execute(_ROWS, [run, *key]))]
    )
    known = (step for step in scores if step in ids)
    best = max(known, key=lambda step: (scores[step], -step), default=None)
    return None if best is None else (best, ids[best], oods.get(best))


def value_at(connection: sqlite3.Connection, run: int, key: MetricKey, step: int) -> float | None:
    """Return a written value at a step; None: not finite, or none."""
    return _at(unpack(connection.execute(_ROWS, [run, *key])), step)


class Series:
    """The results of runs by attempt and by step."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(
        self,
        run_id: str,
        *,
        name: str | None = None,
        split: str | None = None,
        domain: str | None = None,
    ) -> list[MetricSeries]:
        """Return a run's measured values, packed, by name, split, domain and arm; None: any."""
        key = find_by_id(self._database, run_id).key
        rows = self._database.rows(_SERIES, {"run": key, "name": name, "split": split})
        found = []
        for columns, chunks in itertools.groupby(rows, key=lambda row: row[:4]):
            metric = MetricKey(*columns)
            if domain in (None, metric.shown_domain):
                found.append(MetricSeries(metric, unpack(chunk[4:] for chunk in chunks)))
        return sorted(found, key=_shown_order)

    def thinned(
        self, run_id: str, *, most: int, kept_step: int | None = None
    ) -> list[MetricSeries]:
        """Return all measured values; a longer series is thinned to about ``most`` evenly spaced
        points, including the last one and that of ``kept_step``. Only these are held in memory."""
        key, database = find_by_id(self._database, run_id).key, self._database
        counts = {row[:4]: row[4] // STEP_BYTES for row in database.rows(_COUNTS, {"run": key})}
        found = []
        with closing(database.each(_SERIES, {"run": key, "name": None, "split": None})) as rows:
            for columns, chunks in itertools.groupby(rows, key=lambda row: row[:4]):
                distance = max(1, math.ceil(counts.get(columns, 1) / most))
                points = _thinned((chunk[4:] for chunk in chunks), distance, kept_step)
                found.append(MetricSeries(MetricKey(*columns), points))
        return sorted(found, key=_shown_order)

    def metrics(
        self,
        run_id: str,
        *,
        name: str | None = None,
        split: str | None = None,
        domain: str | None = None,
        arm: str | None = None,
        step: int | None = None,
    ) -> list[MetricPoint]:
        """Return measured values by curve and step; None: any, but for those of the machine, whose
        split must be named."""
        found = []
        for metric, points in self.all(run_id, name=name, split=split, domain=domain):
            if arm not in (None, metric.arm) or (metric.is_system and split is None):
                continue
            steps, at = points.steps, range(len(points.steps))
            if step is not None:
                at = range(bisect_left(steps, step), bisect_right(steps, step))
            place = metric.split, metric.shown_domain, metric.arm, metric.name
            found += [MetricPoint(steps[i], *place, points.at(i)) for i in at]
        return found

    def ood_histories(self, run_ids: Sequence[str]) -> dict[str, tuple[float, ...]]:
        """Return the OOD accuracies of each run's evaluations in order of steps, skipping runs
        without any.

        Very many evaluations are thinned out.
        """
        histories: dict[str, array[float]] = {}
        for run_id, readings in self._of_runs(_OOD_CHUNKS, run_ids, JUDGED, IS_WHOLE):
            histories.setdefault(run_id, array("d")).frombytes(readings)
        return {
            run_id: tuple(values[:: math.ceil(len(values) / LONGEST_HISTORY)])
            for run_id, values in histories.items()
        }

    def last_evaluations(
        self, run_ids: Sequence[str], name: str = ACCURACY
    ) -> dict[tuple[str, str], LastEvaluation]:
        """Return the last evaluation by run and arm, regardless of the selected step, skipping
        those that lack a value; ``name``: of accuracy, or of a measure in its place."""
        chunks: dict[tuple[str, str], dict[JudgedSplit, Points]] = {}
        rows = self._of_runs(_LAST_CHUNKS, run_ids, name, JUDGED)
        for run_id, arm, split, domain, _, *packed in rows:
            of_arm = chunks.setdefault((run_id, arm), {})
            with suppress(SeriesDamaged):  # the arm then lacks an accuracy
                of_arm[split, domain == JUDGED] = unpack([(packed[0], packed[1])])
        found = {key: _last(of_arm) for key, of_arm in chunks.items()}
        return {key: last for key, last in found.items() if last is not None}

    def values_at(
        self, steps: Mapping[tuple[str, str], int], name: str
    ) -> dict[tuple[str, str], dict[tuple[str, str], float]]:
        """Return the values of a measure by run and arm, then by split and domain.

        ``steps`` is the step for each run and arm; damaged series and unknown values are skipped.
        """
        found: dict[tuple[str, str], dict[tuple[str, str], float]] = {}
        runs = list(dict.fromkeys(run_id for run_id, _ in steps))
        for run_id, arm, split, domain, *packed in self._of_runs(_CHUNKS_OF, runs, name):
            step = steps.get((run_id, arm))
            with suppress(SeriesDamaged):
                points = unpack([(packed[0], packed[1])])
                value = None if step is None else _at(points, step)
                if value is not None:
                    found.setdefault((run_id, arm), {})[split, domain] = value
        return found

    def arms(self, run_ids: Sequence[str]) -> dict[str, list[ArmResult]]:
        """Return the results of additional arms by run, each at its own selected step; runs
        without any are left out.

        Invalid results are also skipped; their run is listed as damaged.
        """
        found: dict[str, list[ArmResult]] = {}
        for run_id, *columns, domains, measures in self._of_runs(_ARMS, run_ids):
            names = ("arm", "selected_step", "id_accuracy", "ood_accuracy")
            values: dict[str, object] = dict(zip(names, columns, strict=True))
            with suppress(msgspec.MsgspecError, TypeError):
                values["domains"] = msgspec.json.decode(domains, type=dict[str, float])
                values["measures"] = msgspec.json.decode(measures, type=Summary)
                found.setdefault(run_id, []).append(msgspec.convert(values, ArmResult))
        return found

    def timeline(self, run_id: str) -> list[Attempt]:
        """Return the attempts at the run, oldest first."""
        key = find_by_id(self._database, run_id).key
        rows = self._database.rows(
            f"SELECT {', '.join(_ATTEMPT.columns)} FROM attempts WHERE run = ? ORDER BY attempt",
            [key],
        )
        sound = [row for row in rows if _ATTEMPT.misfit(row) is None]
        at = list(_ATTEMPT.columns).index("versions")
        return [Attempt(*(*row[:at], _versions(row[at]), *row[at + 1 :])) for row in sound]

    def _of_runs(self, query: str, run_ids: Sequence[str], *constants: str) -> Iterator[Row]:
        """Yield the rows of a query for some runs, a limited number at a time."""
        for places, part in in_parts(run_ids):
            yield from self._database.rows(query.format(places, *constants), part)


def _shown_order(series: MetricSeries) -> tuple[str, ...]:
    key = series.key
    return key.name, key.split, key.shown_domain, key.arm


def _thinned(chunks: Iterator[Sequence[bytes]], distance: int, kept_step: int | None) -> Points:
    """Return evenly spaced points of a series, its last one, and that of a step."""
    kept, before = Points.none(), 0
    last: tuple[int, float] | None = None
    for steps, readings in chunks:
        points = unpack([(steps, readings)])
        for at in range(-before % distance, len(points.steps), distance):
            kept.put(points.steps[at], points.values[at])
        before += len(points.steps)
        if kept_step is not None and (found := points.index_of(kept_step)) is not None:
            kept.put(kept_step, points.values[found])
        if points.steps:
            last = points.steps[-1], points.values[-1]
    if last is not None:
        kept.put(*last)
    in_order = dict(sorted(zip(kept.steps, kept.values, strict=True)))
    return Points(array("q", in_order), array("d", in_order.values()))


def _last(chunks: Mapping[JudgedSplit, Points]) -> LastEvaluation | None:
    judged = chunks.get(("out", True))
    if judged is None:
        return None
    step = judged.steps[-1]
    splits: tuple[JudgedSplit, ...] = (("out", True), ("in", True), ("out", False))
    values = [_at(chunks.get(split), step) for split in splits]
    known = [value for value in values if value is not None]
    return LastEvaluation(step, *known) if len(known) == len(values) else None


def _at(points: Points | None, step: int) -> float | None:
    """Return the value at a step; None: none, or not finite."""
    at = None if points is None else points.index_of(step)
    return None if points is None or at is None else points.at(at)


def _versions(text: str) -> dict[str, str]:
    """Return the versions that an attempt ran with; empty if damaged."""
    try:
        return msgspec.json.decode(text, type=dict[str, str])
    except (msgspec.DecodeError, TypeError):
        return {}
