"""The selected steps of a run and of its arms, found in its series while they are written."""

from __future__ import annotations

import math
import sqlite3
from bisect import bisect_left
from typing import Final

import msgspec

from engine.protocol import JUDGED, MEASURES, ArmEvaluated, Summary
from engine.protocol.measures import LOSS_DOMAIN, LOSS_SPLIT
from vld_tui.store.packed import unpack

_AROUND_STEP: Final = """
    SELECT split, domain, steps, readings FROM series
    JOIN (
        SELECT split, domain, max(first_step) AS first_step FROM series
        WHERE run = :run AND name = 'accuracy' AND arm = :arm AND first_step <= :step
        GROUP BY split, domain
    ) USING (split, domain, first_step)
    WHERE run = :run AND name = 'accuracy' AND arm = :arm ORDER BY domain
"""
_MEASURES: Final = f"""
    SELECT name, split, steps, readings FROM series
    JOIN (
        SELECT name, split, max(first_step) AS first_step FROM series
        WHERE run = :run AND domain = '{JUDGED}' AND arm = :arm AND first_step <= :step
        GROUP BY name, split
    ) USING (name, split, first_step)
    WHERE run = :run AND domain = '{JUDGED}' AND arm = :arm
"""
_JUDGED: Final = """
    SELECT steps, readings FROM series
    WHERE run = ? AND name = 'accuracy' AND split = ? AND domain = ? AND arm = ?
    ORDER BY first_step
"""


def domain_accuracies(
    connection: sqlite3.Connection, run: int, step: int, arm: str
) -> dict[str, float]:
    """Return an arm's accuracy of each domain at an evaluation: the ``in`` split of those left out
    of training, the ``out`` split of the others, without augmentation; empty when there was none
    at this step."""
    rows = connection.execute(_AROUND_STEP, {"run": run, "step": step, "arm": arm}).fetchall()
    values: dict[tuple[str, str], float] = {}
    for split, domain, steps, readings in rows:
        points = unpack([(steps, readings)])
        at = bisect_left(points.steps, step)
        if at < len(points.steps) and points.steps[at] == step:
            values[split, domain] = points.values[at]
    found: dict[str, float] = {}
    for (split, domain), value in values.items():
        reported = "in" if ("in", domain) in values else "out"
        if split == reported and domain != JUDGED and not math.isnan(value):
            found[domain] = value
    return found


def measures_at(connection: sqlite3.Connection, run: int, step: int, arm: str) -> Summary:
    """Return the ID and OOD values of an arm's measures at an evaluation."""
    rows = connection.execute(_MEASURES, {"run": run, "step": step, "arm": arm}).fetchall()
    found: dict[str, dict[str, float | None]] = {}
    for name, split, steps, readings in rows:
        points = unpack([(steps, readings)])
        at = bisect_left(points.steps, step)
        if name in MEASURES and at < len(points.steps) and points.steps[at] == step:
            found.setdefault(name, {})[split] = points.at(at)
    return {name: (values.get("out"), values.get("in")) for name, values in found.items()}


def best_evaluation(
    connection: sqlite3.Connection, run: int, arm: str
) -> tuple[int, float, float | None] | None:
    """Return step, ID and OOD accuracy where an arm's ID accuracy is highest, the earliest of
    equals; a run without a target has no OOD accuracy."""
    id_points, ood_points = (
        unpack(connection.execute(_JUDGED, [run, split, JUDGED, arm])) for split in ("out", "in")
    )
    ood_at = dict(zip(ood_points.steps, ood_points.values, strict=True))
    evaluations = zip(id_points.steps, id_points.values, strict=True)
    best = max(evaluations, key=lambda each: (each[1], -each[0]), default=None)
    return None if best is None else (*best, ood_at.get(best[0]))


def last_loss(connection: sqlite3.Connection, run: int) -> float | None:
    """Return the training loss at the highest step; None: not finite, or none yet."""
    row = connection.execute(
        "SELECT steps, readings FROM series WHERE run = ? AND name = 'loss' AND split = ? "
        "AND domain = ? ORDER BY first_step DESC LIMIT 1",
        [run, LOSS_SPLIT, LOSS_DOMAIN],
    ).fetchone()
    return None if row is None else unpack([row]).at(-1)


class ArmRecorder:
    """Tracks the selected step of each arm.

    An arm's best step is written immediately; its accuracy by domain is written by :meth:`flush`,
    after the evaluations.
    """

    def __init__(self, connection: sqlite3.Connection, run: int) -> None:
        self._connection, self._run = connection, run
        self._selected: set[str] = set()

    def record(self, event: ArmEvaluated) -> None:
        """Add an evaluation."""
        before = self._connection.execute(
            "SELECT id_accuracy FROM arms WHERE run = ? AND arm = ?", [self._run, event.arm]
        ).fetchone()
        if event.is_best and (before is None or event.id_accuracy > before[0]):
            self._select(event.arm, event.step, event.id_accuracy, event.ood_accuracy)

    def select_again(self) -> None:
        """Select again from the remaining evaluations."""
        self._selected.clear()
        rows = self._connection.execute("SELECT arm FROM arms WHERE run = ?", [self._run])
        arms = [arm for (arm,) in rows.fetchall()]
        self._connection.execute("DELETE FROM arms WHERE run = ?", [self._run])
        for arm in arms:
            if best := best_evaluation(self._connection, self._run, arm):
                self._select(arm, *best)

    def flush(self) -> None:
        """Write accuracies by domain."""
        for arm in self._selected:
            (step,) = self._connection.execute(
                "SELECT selected_step FROM arms WHERE run = ? AND arm = ?", [self._run, arm]
            ).fetchone()
            place = (self._connection, self._run, step, arm)
            found = (domain_accuracies(*place), measures_at(*place))
            self._connection.execute(
                "UPDATE arms SET domains = ?, measures = ? WHERE run = ? AND arm = ?",
                [*(msgspec.json.encode(each).decode() for each in found), self._run, arm],
            )
        self._selected.clear()

    def _select(self, arm: str, step: int, id_accuracy: float, ood_accuracy: float | None) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO arms VALUES (?, ?, ?, ?, ?, '{}', '{}')",
            [self._run, arm, step, id_accuracy, ood_accuracy],
        )
        self._selected.add(arm)
