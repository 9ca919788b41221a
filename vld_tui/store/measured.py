"""Results of runs of an open history, by attempt and by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vld_tui.runs.metrics import Attempt, CheckpointInfo, LastEvaluation, MetricPoint, MetricSeries
from vld_tui.runs.run import ArmResult
from vld_tui.store.arms import read_arms
from vld_tui.store.last_evaluations import read_last_evaluations
from vld_tui.store.lookup import find_by_id
from vld_tui.store.metrics import (
    read_attempts,
    read_checkpoints,
    read_metrics,
    read_ood_histories,
    read_series,
    read_thinned,
)
from vld_tui.store.run_lists import RunLists

LONGEST_HISTORY: Final = 512


class MeasuredRuns(RunLists):
    """The queries for results of an open history."""

    def arms(self, run_ids: Sequence[str]) -> dict[str, list[ArmResult]]:
        """Return the results of additional arms by run, skipping runs without any."""
        return read_arms(self._database, run_ids)

    def last_evaluations(self, run_ids: Sequence[str]) -> dict[tuple[str, str], LastEvaluation]:
        """Return the last evaluation by run and arm, skipping those that lack an accuracy."""
        return read_last_evaluations(self._database, run_ids)

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
        """Return measured values by curve and step; None: any."""
        key = find_by_id(self._database, run_id).key
        points = read_metrics(self._database, key, name=name, split=split, domain=domain, step=step)
        return [point for point in points if arm in (None, point.arm)]

    def series(self, run_id: str) -> list[MetricSeries]:
        """Return all measured values, packed."""
        key = find_by_id(self._database, run_id).key
        return read_series(self._database, key, name=None, split=None, domain=None)

    def thinned_series(
        self, run_id: str, *, most: int, kept_step: int | None = None
    ) -> list[MetricSeries]:
        """Return all measured values; a longer series is thinned to about ``most`` evenly spaced
        points, including the last one and that of ``kept_step``."""
        key = find_by_id(self._database, run_id).key
        return read_thinned(self._database, key, most=most, kept_step=kept_step)

    def ood_histories(self, run_ids: Sequence[str]) -> dict[str, tuple[float, ...]]:
        """Return the OOD accuracies of each run's evaluations, skipping runs without any.

        Very many evaluations are thinned out.
        """
        return read_ood_histories(self._database, run_ids, most=LONGEST_HISTORY)

    def timeline(self, run_id: str) -> list[Attempt]:
        """Return the attempts at the run, oldest first."""
        return read_attempts(self._database, find_by_id(self._database, run_id).key)

    def checkpoints(self, run_id: str) -> list[CheckpointInfo]:
        """Return the run's checkpoints as they were last saved."""
        return read_checkpoints(self._database, find_by_id(self._database, run_id).key)

    def left_checkpoints(self, run_id: str) -> list[CheckpointInfo]:
        """Return the run's checkpoints that are still in its folder."""
        folder = self.run_dir(run_id).path
        return [each for each in self.checkpoints(run_id) if (folder / each.file).is_file()]
