"""Read each arm's last evaluation, regardless of the selected step."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from engine.protocol import JUDGED
from vld_tui.runs.metrics import LastEvaluation, Points
from vld_tui.store.database import MOST_AT_ONCE, Database
from vld_tui.store.errors import SeriesDamaged
from vld_tui.store.series import unpack

_LAST_CHUNKS: Final = """
    SELECT run_id, series.arm, split, domain, max(first_step), steps, readings
    FROM runs JOIN series ON series.run = runs.key
    WHERE run_id IN ({}) AND series.name = 'accuracy' AND domain IN (?, runs.target)
    GROUP BY series.run, split, domain, series.arm
"""
"""SQLite takes the other columns from the row of the maximum."""

Place = tuple[str, bool]
"""A split, and whether it is of the reported accuracy rather than of the target by name."""


def read_last_evaluations(
    database: Database, run_ids: Sequence[str]
) -> dict[tuple[str, str], LastEvaluation]:
    """Return the last evaluation by run and arm, skipping those that lack an accuracy.

    Raises:
        StoreError: when the database cannot be read.
    """
    chunks: dict[tuple[str, str], dict[Place, Points]] = {}
    for start in range(0, len(run_ids), MOST_AT_ONCE):
        asked = run_ids[start : start + MOST_AT_ONCE]
        query = _LAST_CHUNKS.format(", ".join("?" * len(asked)))
        for run_id, arm, split, domain, _, *packed in database.rows(query, [*asked, JUDGED]):
            of_arm = chunks.setdefault((run_id, arm), {})
            with suppress(SeriesDamaged):  # the arm then lacks an accuracy
                of_arm[split, domain == JUDGED] = unpack([(packed[0], packed[1])])
    found = {key: _last(of_arm) for key, of_arm in chunks.items()}
    return {key: last for key, last in found.items() if last is not None}


def _last(chunks: Mapping[Place, Points]) -> LastEvaluation | None:
    judged = chunks.get(("out", True))
    if judged is None:
        return None
    step = judged.steps[-1]
    places: tuple[Place, ...] = (("out", True), ("in", True), ("out", False))
    values = [_at(chunks.get(place), step) for place in places]
    known = [value for value in values if value is not None]
    return LastEvaluation(step, *known) if len(known) == len(values) else None


def _at(points: Points | None, step: int) -> float | None:
    """Return the value at a step; None: none, or not finite."""
    if points is None:
        return None
    at = bisect_left(points.steps, step)
    is_there = at < len(points.steps) and points.steps[at] == step
    return points.values[at] if is_there and not math.isnan(points.values[at]) else None
