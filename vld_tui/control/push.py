"""Push runs to another experiment tracker: read their events, and send what it does not have."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from engine.protocol import (
    FIELDS,
    MEASURES,
    ArmEvaluated,
    Evaluated,
    Event,
    Metric,
    RunStarted,
    StepsTaken,
    Summary,
    SystemSampled,
    shown_value,
)
from engine.protocol.measures import ACCURACY, SYSTEM
from engine.protocol.spec import applies
from engine.protocol.system import SYSTEM_METRICS
from engine.rundir.lock import held
from vld_tui.runs.run import NOT_READABLE, ArmResult, Run
from vld_tui.runs.run_folder import EventFollower
from vld_tui.store.errors import RunNotFound
from vld_tui.store.store import Store
from vld_tui.study.define.files import find_study, is_study, kept_names
from vld_tui.study.standing import standing_of
from vld_tui.trackers.tracker import (
    Known,
    Row,
    Session,
    TrackedRun,
    Tracker,
    TrackerError,
)

POLL_INTERVAL_S: Final = 2.0
MOST_ROWS: Final = 1000
"""Rows sent at once."""
_SYSTEM: Final = f"{SYSTEM}/"
_WithValues: Final = StepsTaken | Evaluated | ArmEvaluated | SystemSampled
_PACE: Final = ("lr", "head_lr", "dropout_rate", "images_per_s")


class Candidate(NamedTuple):
    """A run to push, and the study that it is pushed with."""

    run_id: str
    study: str | None


def find_candidates(store: Store, references: Sequence[str]) -> list[Candidate]:
    """Return the runs with these ids or names, and the existing runs of studies, each once.

    Raises:
        RunNotFound: when there is neither such a run nor such a study, or a study has no runs.
        AmbiguousRun: when several runs match.
        StoreError, StudyError: when history or a study cannot be read.
    """
    studies = frozenset(kept_names(store.home))
    found: dict[str, Candidate] = {}
    for reference in references:
        try:
            run = store.runs.get(reference)
        except RunNotFound:
            if not is_study(store.home, reference):
                raise
            study = find_study(store.home, reference)
            runs = standing_of(store, study).runs
            each = [Candidate(run.run_id, study.name) for run in runs if run is not None]
            if not each:
                raise RunNotFound(
                    f"Study {study.name} has no runs yet. Launch it: vld sweep {reference}"
                ) from None
        else:
            group = next((tag for tag in run.tags if tag in studies), None)
            each = [Candidate(run.run_id, group)]
        for candidate in each:
            found.setdefault(candidate.run_id, candidate)
    return list(found.values())


class Pushed(NamedTuple):
    """A run, how many values were sent, and where it is; None: it has no values yet."""

    run: Run
    values: int
    place: str | None


def push_all(
    store: Store, candidates: Sequence[Candidate], tracker: Tracker, *, follow: bool
) -> Iterator[Pushed]:
    """Push runs, and yield each when it is complete; ``follow``: not before it has ended.

    Raises:
        TrackerError: when the tracker fails, or another process pushes the run; what was sent is
            kept, so that the next push sends the rest.
        OSError, StoreError: when a run cannot be read.
    """
    left = list(candidates)
    with contextlib.ExitStack() as following:
        begun: dict[str, tuple[Push, contextlib.ExitStack]] = {}
        while left:
            for candidate in list(left):
                if candidate.run_id not in begun:
                    stack = following.enter_context(contextlib.ExitStack())
                    push = stack.enter_context(_pushing(store, candidate, tracker))
                    begun[candidate.run_id] = push, stack
                push, stack = begun[candidate.run_id]
                run = push.catch_up()
                if follow and _continues(run):
                    continue
                stack.close()
                left.remove(candidate)
                yield Pushed(run, push.values, push.place)
            if left:
                time.sleep(POLL_INTERVAL_S)
                _refresh(store, [begun[each.run_id][0].run for each in left])


def _continues(run: Run) -> bool:
    """Return whether a run is running, or will be started by a queue or a cluster."""
    return run.is_live or run.is_due or (run.has_job and run.status != "finished")


def _refresh(store: Store, runs: Sequence[Run]) -> None:
    """Update the history, and the jobs of runs that a cluster is still to start."""
    store.live.refresh()
    if any(run.has_job and not run.is_live for run in runs):
        from vld_tui.launch.slurm.jobs import JOBS_POLL_S, look_at_jobs  # only with a cluster

        time.sleep(JOBS_POLL_S)
        look_at_jobs(store)


class Push:
    """One run's way to a tracker; what the tracker already has is not sent again."""

    def __init__(self, store: Store, candidate: Candidate, tracker: Tracker) -> None:
        self.run = store.runs.get(candidate.run_id)
        self.values = 0
        self._store, self._study, self._tracker = store, candidate.study, tracker
        self._run_dir = store.runs.run_dir(candidate.run_id)
        self._follower = EventFollower(self._run_dir)
        self._session: Session | None = None
        self._rows = Rows(Known())
        self._last_status = ""

    @property
    def place(self) -> str | None:
        """Return where the run is; None: it has no values yet."""
        return None if self._session is None else self._session.place

    def catch_up(self) -> Run:
        """Send the values since the last call, and the run's state; return the run.

        Raises:
            TrackerError: when the tracker fails.
            OSError, StoreError: when the run cannot be read.
        """
        self.run = run = self._store.runs.get(self.run.run_id)  # before reading: no events follow
        if run.status in NOT_READABLE:
            raise TrackerError(f"Run {run.label} cannot be read: {run.reason}")
        events = self._follower.poll()
        if self._session is None:
            if not any(_is_result(event) and values_of(event) for event in events):
                self._follower = EventFollower(self._run_dir)
                return run
            self._session = self._tracker.begin(self._described())
            self._rows = Rows(self._session.known)
        for event in events:
            self._rows.take(event)
        rows = self._rows.news()
        for start in range(0, len(rows), MOST_ROWS):
            part = rows[start : start + MOST_ROWS]
            self._session.log(part)
            self.values += sum(len(row.values) for row in part)
        if events or run.status != self._last_status:  # a crash leaves no event
            self._session.describe(self._described())
            self._last_status = run.status
        return run

    def close(self) -> None:
        """Finish writing.

        Raises:
            TrackerError: when something could not be written.
        """
        if self._session is not None:
            self._session.close()

    def _described(self) -> TrackedRun:
        run, is_over = self.run, not self.run.is_live
        arms = self._store.series.arms([run.run_id]).get(run.run_id, ())
        return TrackedRun(
            run_id=run.run_id,
            name=run.name,
            status=run.status,
            created_at=run.created_at,
            group=self._study,
            tags=run.tags,
            note=run.note,
            settings=settings_of(run),
            selected=self._rows.selected(run, arms) if is_over else None,
            ended_at=self._rows.last_time if is_over else None,
        )


@contextlib.contextmanager
def _pushing(store: Store, candidate: Candidate, tracker: Tracker) -> Iterator[Push]:
    """Yield a run's push, unless another process pushes the run.

    Raises:
        TrackerError: when another process does, or the tracker fails.
    """
    push = Push(store, candidate, tracker)
    lock = store.home.cache / "push" / f"{candidate.run_id}.lock"
    with contextlib.ExitStack() as stack:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(held(lock, patience_s=0))
        except BlockingIOError:
            raise TrackerError(
                f"Run {push.run.label} is being pushed by another process. Wait for it to end."
            ) from None
        except OSError:  # a home that can only be read is pushed without a lock
            pass
        stack.callback(push.close)
        yield push


class Rows:
    """A run's events as rows, without those that a tracker has.

    A resumed run repeats the steps after its checkpoint. Steps that have been sent are not sent
    again; others are replaced.
    """

    def __init__(self, known: Known) -> None:
        self.last_time = 0.0
        self._seq = known.seq
        self._steps = dict(known.steps)
        self._pending: list[Row] = []
        self._evaluations: dict[int, tuple[int, float]] = {}

    def take(self, event: Event) -> None:
        """Add an event."""
        self.last_time = event.time
        if isinstance(event, RunStarted) and event.seq > 0:
            kept = -1 if event.resumed_step is None else event.resumed_step
            self._pending = [row for row in self._pending if row.step <= kept]
        values = values_of(event)
        if not values or not isinstance(event, _WithValues):
            return
        if isinstance(event, SystemSampled):  # it covers the time of those at the same step
            self._pending = [
                row for row in self._pending if row.step != event.step or not _is_sample(row)
            ]
        if isinstance(event, Evaluated):
            self._evaluations[event.step] = (event.seq, event.time)
        if event.seq > self._seq:
            self._pending.append(Row(event.seq, event.time, event.step, values))
        else:
            self._note(event.step, values)

    def news(self) -> list[Row]:
        """Return the rows to send, each once."""
        rows = []
        for row in self._pending:
            new = {
                name: value
                for name, value in row.values.items()
                if row.step > self._steps.get(name, -1)
            }
            if new:
                rows.append(row._replace(values=new))
                self._note(row.step, new)
        self._pending = []
        return rows

    def selected(self, run: Run, arms: Sequence[ArmResult]) -> Row | None:
        """Return the results at the selected step, timed as its evaluation."""
        if run.selected_step is None or run.selected_step not in self._evaluations:
            return None
        seq, moment = self._evaluations[run.selected_step]
        return Row(seq, moment, run.selected_step, selected_values(run, arms))

    def _note(self, step: int, values: Mapping[str, float]) -> None:
        for name in values:
            self._steps[name] = max(step, self._steps.get(name, -1))


def values_of(event: Event) -> dict[str, float]:
    """Return the values of an event by the names that trackers show; empty: it has none.

    ``out/photo/accuracy`` is measured on the split ``out`` of the domain ``photo``, ``id/accuracy``
    and ``ood/accuracy`` are the reported accuracies. Names of an additional arm begin with it,
    those of what the run used of its machine with ``system``.
    """
    if isinstance(event, SystemSampled):
        known = {name: getattr(event, name) for name in SYSTEM_METRICS}
        return {
            f"{_SYSTEM}{name}": _number(value) for name, value in known.items() if value is not None
        }
    if isinstance(event, StepsTaken):
        pace = {name: getattr(event, name) for name in _PACE}
        return {"loss": _number(event.loss)} | {
            name: value for name, value in pace.items() if value is not None
        }
    if not isinstance(event, Evaluated | ArmEvaluated):
        return {}
    summary = {ACCURACY: (event.id_accuracy, event.ood_accuracy), **event.measures}
    values = _judged(summary, has_ood=event.ood_accuracy is not None)
    values |= {_metric_name(each): _number(each.value) for each in event.metrics}
    prefix = f"{event.arm}/" if isinstance(event, ArmEvaluated) else ""
    return {f"{prefix}{name}": value for name, value in values.items()}


def settings_of(run: Run) -> dict[str, str | float | bool | None]:
    """Return the settings that have an effect on a run; of a combining run, those that its parents
    share."""
    settings: dict[str, str | float | bool | None] = {}
    for name in FIELDS:
        value = getattr(run.spec, name)
        if applies(run.spec, name) and name not in run.mixed_fields:
            is_plain = value is None or isinstance(value, str | float | int)
            settings[name] = value if is_plain else shown_value(value)
    if run.combination is not None:
        settings["combination"] = run.combination.method
        settings["parents"] = ", ".join(parent.label for parent in run.combination.parents)
    return settings


def selected_values(run: Run, arms: Sequence[ArmResult]) -> dict[str, float]:
    """Return the results at the selected step, by name."""
    values = {f"{domain}/{ACCURACY}": value for domain, value in run.domains.items()}
    values |= _result(run.selected_step or 0, run.id_accuracy, run.ood_accuracy, run.measures)
    for arm in arms:
        own = _result(arm.selected_step, arm.id_accuracy, arm.ood_accuracy, arm.measures)
        values |= {f"{arm.arm}/{name}": value for name, value in own.items()}
    return {f"selected/{name}": value for name, value in values.items()}


def _is_result(event: Event) -> bool:
    """Return whether an event reports the training, and not only the machine."""
    return not isinstance(event, SystemSampled)


def _is_sample(row: Row) -> bool:
    return all(name.startswith(_SYSTEM) for name in row.values)


def _result(
    step: int, id_accuracy: float | None, ood_accuracy: float | None, measures: Summary
) -> dict[str, float]:
    known = _judged(
        {ACCURACY: (id_accuracy, ood_accuracy), **measures}, has_ood=ood_accuracy is not None
    )
    return {"step": float(step), **known}


def _judged(summary: Summary, *, has_ood: bool) -> dict[str, float]:
    values = {
        f"id/{name}": _number(of_sources)
        for name, (of_sources, _) in summary.items()
        if name not in MEASURES or not MEASURES[name].is_of_target
    }
    if has_ood:
        values |= {f"ood/{name}": _number(of_target) for name, (_, of_target) in summary.items()}
    return values


def _metric_name(metric: Metric) -> str:
    return f"{metric.split}/{metric.domain}/{metric.name}"


def _number(value: float | None) -> float:
    return math.nan if value is None else value
