"""Record a run's events in its rows."""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from engine.protocol import (
    NO_TARGET,
    ArmEvaluated,
    AttemptEnd,
    CheckpointSaved,
    CollapseDetected,
    DataPrepared,
    Evaluated,
    Event,
    MetricKey,
    ModelPrepared,
    PhaseReported,
    RunFailed,
    RunFinished,
    RunSpec,
    RunStarted,
    RunStopped,
    StepsTaken,
    SystemSampled,
)
from engine.protocol.diagnostics import Diagnosis
from engine.protocol.measures import ACCURACY
from engine.protocol.selection import score_of, selection_key
from engine.protocol.system import SYSTEM_METRICS
from vld_tui.store.columns import RunState
from vld_tui.store.series import SeriesWriter, best_evaluation, results_at, value_at
from vld_tui.store.specs import decode_stored_spec

_DISAPPEARED: Final = "process disappeared before the next attempt"
_LARGEST: Final = 2**63 - 1


class EventRecorder:
    """Folds events, oldest first, into one run's state and rows.

    Recording is idempotent: a resumed run repeats events after its checkpoint. Values are written,
    and those at the selected step looked up, by :meth:`flush`.
    """

    def __init__(self, connection: sqlite3.Connection, key: int, state: RunState) -> None:
        self._connection = connection
        self._key = key
        self._series = SeriesWriter(connection, key)
        self._scores = SelectionScores(connection, key)
        self._arms = ArmRecorder(connection, key, self._scores)
        self._has_selected = False
        self.state = state

    def flush(self) -> None:
        """Write the recorded values; the caller saves the state."""
        self._series.flush()
        step = self.state.selected_step
        if self._has_selected and step is not None:
            self.state.domains, self.state.measures = _stored_results(
                self._connection, self._key, step, self.state.arm
            )
        self._has_selected = False
        self._arms.flush()

    def record(self, event: Event) -> None:
        """Record one event; a repeated number is counted as damage."""
        state = self.state
        if event.seq <= state.last_seq or not _is_storable(event):
            state.damaged_lines += 1
            return
        if state.status == "crashed" and not isinstance(event, RunStarted):
            self._undo_crash()
        if not isinstance(event, SystemSampled):
            state.phase = _encoded(event) if isinstance(event, PhaseReported) else None
        if isinstance(event, RunStarted):
            self._start(event)
        elif isinstance(event, RunFinished | RunStopped | RunFailed):
            self._end(event)
        elif isinstance(event, SystemSampled):
            self._put_sample(event)
        else:
            self._progress(event)
        state.last_seq = event.seq
        state.last_event_at = event.time

    def record_diagnoses(self, diagnoses: Iterable[Diagnosis]) -> None:
        """Record the measures of diagnostics at their steps, after the events."""
        state = self.state
        step = state.selected_step
        for each in diagnoses:
            at = step if each.step is None else each.step
            if each.arm != state.arm or at is None:
                continue
            for name, (of_sources, of_target) in each.values.items():
                self._series.put(MetricKey.id(each.arm, name), at, of_sources)
                if of_target is not None or state.ood_accuracy is not None:
                    self._series.put(MetricKey.ood(each.arm, name), at, of_target)
            for finding in each.findings:
                is_judged = finding.split == "out" or finding.domain == state.target
                if finding.name in each.values and is_judged:
                    key = MetricKey(finding.name, finding.split, finding.domain, each.arm)
                    self._series.put(key, at, finding.value)
        self._has_selected = step is not None
        self.flush()

    def crash(self, end: AttemptEnd) -> None:
        """Record that the process died, or was killed on purpose, without a terminal event."""
        state = self.state
        state.phase = None
        state.status, state.error, state.exit_code = _outcome(end), end.cause, end.exit_code
        state.seconds_left = None
        self._close_attempt(end.ended_at, state.status, end.cause)

    def correct(self, end: AttemptEnd) -> None:
        """Add details to a recorded death."""
        self._forget_crash()
        self.crash(end)

    def _start(self, event: RunStarted) -> None:
        state = self.state
        if state.last_seq >= 0:
            self._end_previous(event.previous_end)
            self._rewind(event.resumed_step)
        state.status, state.error, state.exit_code = "running", None, None
        state.pid, state.host = event.pid, event.host
        state.attempts = event.attempt
        self._connection.execute(
            "INSERT OR REPLACE INTO attempts (run, attempt, started_at, resumed_step, pid, host, "
            "versions, code_commit) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                self._key, event.attempt, event.time, event.resumed_step, event.pid, event.host,
                msgspec.json.encode(event.versions).decode(), event.commit,
            ],
        )  # fmt: skip

    def _end(self, event: RunFinished | RunStopped | RunFailed) -> None:
        state = self.state
        state.seconds_left, state.error = None, None
        state.step = max(state.step, event.step or 0)
        if isinstance(event, RunFailed):
            state.status, reason = "failed", event.message or event.error
            state.error = reason
        else:
            state.wall_s = event.wall_s or state.wall_s
            if isinstance(event, RunStopped):
                state.status, reason = "stopped", event.reason
            else:
                state.status, reason = "finished", None
                self._select(event.selected_step, event.id_accuracy, event.ood_accuracy)
        self._close_attempt(event.time, state.status, reason)

    def _progress(self, event: Event) -> None:
        state = self.state
        if state.status == "starting":
            state.status = "running"
        match event:
            case StepsTaken():
                self._take_steps(event)
            case Evaluated():
                self._evaluate(event)
            case ArmEvaluated():
                self._put_metrics(event, event.arm)
                self._arms.record(event)
            case DataPrepared():
                state.target, state.data_digest = event.target or NO_TARGET, event.digest
            case ModelPrepared():
                state.device, state.precision = event.device, event.precision
                state.evaluation_precision = event.evaluation_precision
                state.memory_format = event.memory_format
                state.seconds_left = event.seconds_left
            case CheckpointSaved():
                self._connection.execute(
                    "INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?, ?)",
                    [self._key, event.kind, event.step, event.file, event.bytes],
                )
            case CollapseDetected():
                self._collapse(event.step)
            case PhaseReported(phase="training", done=int(done)):
                state.step = max(state.step, done)
            case _:  # not stored
                pass

    def _take_steps(self, event: StepsTaken) -> None:
        state = self.state
        self._series.put(MetricKey.loss(state.arm), event.step, event.loss)
        state.step = max(state.step, event.step)
        state.loss, state.wall_s = event.loss, event.elapsed_s
        state.steps_per_s, state.images_per_s = event.steps_per_s, event.images_per_s
        state.seconds_left = event.seconds_left

    def _evaluate(self, event: Evaluated) -> None:
        state = self.state
        self._put_metrics(event, state.arm)
        state.step = max(state.step, event.step)
        if event.collapsed:
            self._collapse(event.step)
        elif event.collapsed is False and state.collapsed_step is not None:
            state.recovered_step = state.recovered_step or event.step
        if event.is_best and self._scores.is_better(event, state.arm, state.selected_step):
            self._scores.select(event, state.arm)
            self._select(event.step, event.id_accuracy, event.ood_accuracy)

    def _collapse(self, step: int) -> None:
        """Record the first step of a collapse, replacing an earlier one after a recovery."""
        state = self.state
        if state.collapsed_step is None or state.recovered_step is not None:
            state.collapsed_step, state.recovered_step = step, None

    def _put_metrics(self, event: Evaluated | ArmEvaluated, arm: str) -> None:
        judged = {ACCURACY: (event.id_accuracy, event.ood_accuracy), **event.measures}
        for name, (of_sources, of_target) in judged.items():
            self._series.put(MetricKey.id(arm, name), event.step, of_sources)
            if event.ood_accuracy is not None:
                self._series.put(MetricKey.ood(arm, name), event.step, of_target)
        if event.selection_score is not None:
            self._series.put(self._scores.key(arm), event.step, event.selection_score)
        for each in event.metrics:
            key = MetricKey(each.name, each.split, each.domain, arm)
            self._series.put(key, event.step, each.value)

    def _put_sample(self, sample: SystemSampled) -> None:
        for metric in SYSTEM_METRICS.values():
            if (value := getattr(sample, metric.name)) is not None:
                self._series.put(metric.key, sample.step, value)

    def _select(self, step: int, id_accuracy: float, ood_accuracy: float | None) -> None:
        state = self.state
        state.selected_step = step
        state.id_accuracy, state.ood_accuracy = id_accuracy, ood_accuracy
        self._has_selected = True

    def _rewind(self, resumed_step: int | None) -> None:
        """Delete values after the checkpoint, since the run repeats them."""
        state = self.state
        kept = -1 if resumed_step is None else resumed_step
        self._series.forget_after(kept)
        if state.recovered_step is not None and state.recovered_step > kept:
            state.recovered_step = None
        if state.collapsed_step is not None and state.collapsed_step > kept:
            state.collapsed_step = None
        state.step = max(kept, 0)
        state.loss = self._series.last_value(MetricKey.loss(state.arm))
        self._scores.clear()
        self._arms.select_again()
        best = best_evaluation(self._connection, self._key, self._scores.key(state.arm))
        if best:
            self._select(*best)
        else:
            state.selected_step = state.id_accuracy = state.ood_accuracy = None
            state.domains = state.measures = "{}"

    def _close_attempt(self, ended_at: float | None, outcome: str, reason: str | None) -> None:
        """Record how the attempt ended, unless already known."""
        self._connection.execute(
            "UPDATE attempts SET ended_at = ?, outcome = ?, step = ?, reason = ? "
            "WHERE run = ? AND attempt = ? AND outcome IS NULL",
            [ended_at, outcome, self.state.step, reason, self._key, self.state.attempts],
        )

    def _end_previous(self, end: AttemptEnd | None) -> None:
        """Record how the previous attempt ended, keeping what the run itself recorded."""
        if end is None:
            self._close_attempt(self.state.last_event_at, "crashed", _DISAPPEARED)
            return
        self._forget_crash()
        self._close_attempt(end.ended_at, _outcome(end), end.cause)

    def _undo_crash(self) -> None:
        """Undo a recorded crash: the process is alive after all."""
        state = self.state
        state.status, state.error, state.exit_code = "running", None, None
        self._forget_crash()

    def _forget_crash(self) -> None:
        self._connection.execute(
            "UPDATE attempts SET ended_at = NULL, outcome = NULL, step = NULL, reason = NULL "
            "WHERE run = ? AND attempt = ? AND outcome = 'crashed'",
            [self._key, self.state.attempts],
        )


class SelectionScores:
    """The values that select the steps of a run's arms, see :mod:`engine.protocol.selection`."""

    def __init__(self, connection: sqlite3.Connection, run: int) -> None:
        self._connection, self._run = connection, run
        self._spec: RunSpec | None = None
        self._best: dict[str, float] = {}

    def key(self, arm: str) -> MetricKey:
        """Return the key of the values that select an arm's step."""
        if self._spec is None:
            row = self._connection.execute("SELECT spec FROM runs WHERE key = ?", [self._run])
            try:
                self._spec = decode_stored_spec(*row.fetchone())
            except (msgspec.DecodeError, TypeError):  # damaged: as runs of earlier versions
                self._spec = RunSpec()
        return selection_key(self._spec, arm)

    def is_better(
        self, event: Evaluated | ArmEvaluated, arm: str, selected_step: int | None
    ) -> bool:
        """Return whether an evaluation is better than the one at ``selected_step``, if any."""
        if selected_step is None:
            return True
        best = self._best.get(arm)
        if best is None:  # selected by an earlier read, which wrote its score
            best = value_at(self._connection, self._run, self.key(arm), selected_step)
        return best is None or score_of(event) > best

    def select(self, event: Evaluated | ArmEvaluated, arm: str) -> None:
        """Remember the score of an arm's selected evaluation."""
        self._best[arm] = score_of(event)

    def clear(self) -> None:
        """Forget the scores, as evaluations were deleted."""
        self._best.clear()


class ArmRecorder:
    """Tracks the selected step of each arm.

    An arm's best step is written immediately; its results by domain and measure are written by
    :meth:`flush`, after the evaluations.
    """

    def __init__(self, connection: sqlite3.Connection, run: int, scores: SelectionScores) -> None:
        self._connection, self._run, self._scores = connection, run, scores
        self._selected: dict[str, int] = {}

    def record(self, event: ArmEvaluated) -> None:
        """Add an evaluation."""
        if not event.is_best:
            return
        row = self._connection.execute(
            "SELECT selected_step FROM arms WHERE run = ? AND arm = ?", [self._run, event.arm]
        ).fetchone()
        if self._scores.is_better(event, event.arm, row[0] if row else None):
            self._scores.select(event, event.arm)
            self._select(event.arm, event.step, event.id_accuracy, event.ood_accuracy)

    def select_again(self) -> None:
        """Select again from the remaining evaluations."""
        self._selected.clear()
        rows = self._connection.execute("SELECT arm FROM arms WHERE run = ?", [self._run])
        arms = [arm for (arm,) in rows.fetchall()]
        self._connection.execute("DELETE FROM arms WHERE run = ?", [self._run])
        for arm in arms:
            if best := best_evaluation(self._connection, self._run, self._scores.key(arm)):
                self._select(arm, *best)

    def flush(self) -> None:
        """Write the results at the selected steps."""
        for arm, step in self._selected.items():
            self._connection.execute(
                "UPDATE arms SET domains = ?, measures = ? WHERE run = ? AND arm = ?",
                [*_stored_results(self._connection, self._run, step, arm), self._run, arm],
            )
        self._selected.clear()

    def _select(self, arm: str, step: int, id_accuracy: float, ood_accuracy: float | None) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO arms VALUES (?, ?, ?, ?, ?, '{}', '{}')",
            [self._run, arm, step, id_accuracy, ood_accuracy],
        )
        self._selected[arm] = step


def _stored_results(
    connection: sqlite3.Connection, run: int, step: int, arm: str
) -> tuple[str, str]:
    """Return an arm's accuracies by domain and its measures at a step, as JSON."""
    domains, measures = results_at(connection, run, step, arm)
    return msgspec.json.encode(domains).decode(), msgspec.json.encode(measures).decode()


def _encoded(event: PhaseReported) -> str:
    return msgspec.json.encode(event.as_phase()).decode()


def _outcome(end: AttemptEnd) -> str:
    """Return the status for an outcome."""
    return "stopped" if end.on_purpose else "crashed"


def _is_storable(event: Event) -> bool:
    """Return whether the event's integers fit the database."""
    values = msgspec.structs.astuple(event)
    return all(abs(value) <= _LARGEST for value in values if type(value) is int)


def in_sequence(numbers: Sequence[int], last: int, following: int | None = None) -> list[bool]:
    """Return, for each number, whether it fits its neighbours.

    As many numbers as possible are kept that increase from ``last``, the number before them, to
    ``following``, the one after. So a number that is too high is rejected, not those after it.
    """
    if not numbers:
        return []
    is_over = following is None or following > numbers[-1]
    if numbers[0] > last and is_over and all(low < high for low, high in pairwise(numbers)):
        return [True] * len(numbers)
    kept = _longest_ascent([*numbers, *([] if following is None else [following])], last)
    return [at in kept for at in range(len(numbers))]


def _longest_ascent(numbers: Sequence[int], last: int) -> set[int]:
    """Return the indices of the longest increasing subsequence above ``last``, the lowest and
    earliest of several."""
    ends: list[int] = []
    places: list[int] = []
    before: dict[int, int | None] = {}
    for at, number in enumerate(numbers):
        if number <= last:
            continue
        length = bisect_left(ends, number)
        if length < len(ends) and ends[length] == number:  # repeated
            continue
        ends[length : length + 1] = [number]
        places[length : length + 1] = [at]
        before[at] = places[length - 1] if length else None
    chosen: set[int] = set()
    place = places[-1] if places else None
    while place is not None:
        chosen.add(place)
        place = before[place]
    return chosen
