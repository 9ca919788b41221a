"""Results of additional arms, each at its own selected step."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from engine.protocol import ArmEvaluated, Summary
from vld_tui.runs.run import ArmResult
from vld_tui.store.database import MOST_AT_ONCE, Database
from vld_tui.store.selection import best_evaluation, domain_accuracies, measures_at


def read_arms(database: Database, run_ids: Sequence[str]) -> dict[str, list[ArmResult]]:
    """Return the results of other arms by run; runs without any are left out.

    Invalid results are also skipped; their run is listed as damaged.

    Raises:
        StoreError: when the database cannot be read.
    """
    found: dict[str, list[ArmResult]] = {}
    for start in range(0, len(run_ids), MOST_AT_ONCE):
        asked = run_ids[start : start + MOST_AT_ONCE]
        rows = database.rows(
            "SELECT run_id, arms.arm, arms.selected_step, arms.id_accuracy, arms.ood_accuracy, "
            "arms.domains, arms.measures FROM arms JOIN runs ON runs.key = arms.run "
            f"WHERE run_id IN ({', '.join('?' * len(asked))}) ORDER BY run_id, arms.arm",
            asked,
        )
        for run_id, arm, step, id_accuracy, ood_accuracy, text, measures in rows:
            values: dict[str, object] = {
                "arm": arm, "selected_step": step, "id_accuracy": id_accuracy,
                "ood_accuracy": ood_accuracy,
            }  # fmt: skip
            with suppress(msgspec.MsgspecError, TypeError):
                values["domains"] = msgspec.json.decode(text, type=dict[str, float])
                values["measures"] = msgspec.json.decode(measures, type=Summary)
                result = msgspec.convert(values, ArmResult)
                found.setdefault(run_id, []).append(result)
    return found


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
