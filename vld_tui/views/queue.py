"""The queue and cluster jobs as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from vld_tui.runs.run import DAMAGED, QUEUED, Run
from vld_tui.views.phase import activity, brief_activity
from vld_tui.words.columns import Column, table_lines
from vld_tui.words.numbers import UNKNOWN, duration, plural
from vld_tui.words.palette import STATUS_SIGNS
from vld_tui.words.text import plain_text

if TYPE_CHECKING:
    from vld_tui.control.stop import Stopped
    from vld_tui.study.queue_times import QueueTime

_OVER: Final = "over"
_AS_WAS: Final = ("", "forgotten", "pending", "running")
"""Last known states that a job which is over may have had."""

_NEVER: Final = "will never start: it requests "
_REASONS: Final = {
    "PartitionTimeLimit": f"{_NEVER}more time than its partition allows",
    "PartitionNodeLimit": f"{_NEVER}more or fewer nodes than its partition allows",
    "PartitionConfig": f"{_NEVER}a configuration its partition does not have",
    "BadConstraints": f"{_NEVER}resources that no node has",
    "QOSMaxWallDurationPerJobLimit": f"{_NEVER}more time than its quality of service allows",
    "AssocMaxWallDurationPerJobLimit": f"{_NEVER}more time than its account allows",
    "InvalidAccount": "will never start: its account is not allowed here",
    "InvalidQOS": "will never start: its account lacks this quality of service",
    "DependencyNeverSatisfied": "will never start: its dependency failed",
    "PartitionDown": "its partition is not starting jobs",
    "PartitionInactive": "its partition is not starting jobs",
    "ReqNodeNotAvail": "the requested nodes are down or reserved",
    "Nodes required for job are DOWN": "the required nodes are down, drained or reserved",
}
"""Prefixes of pending reasons that do not resolve automatically or soon, and their meaning."""
QUEUE_COLUMNS: Final = (
    Column("", rank=100),
    Column("#", right=True, rank=100),
    Column("name", rank=99, shrinks=True, narrowest=18),
    Column("target", rank=60),
    Column("λ", right=True, rank=55),
    Column("seed", right=True, rank=50),
    Column("progress", rank=90),
    Column("run", rank=70),
    Column("gpu", rank=40),
)
JOB_COLUMNS: Final = (
    Column("", rank=100),
    Column("name", rank=99, shrinks=True, narrowest=18),
    Column("run", rank=50),
    Column("job", rank=90, shrinks=True, narrowest=20),
    Column("node", rank=40),
)


def reason_in_words(run: Run) -> str | None:
    """Return why a run's job will not start automatically or soon, or None."""
    if run.has_job and run.status == QUEUED and run.job_reason:
        for beginning, words in _REASONS.items():
            if run.job_reason.startswith(beginning):
                return words
    return None


def job_text(run: Run) -> str:
    """Return the id of a run's job, and its state by the scheduler.

    Queued runs include the reason why the job is pending.
    """
    state = (run.job_state or "").lower().replace("_", " ")
    waits = run.has_job and run.status == QUEUED
    ended = not run.has_job and state not in (*_AS_WAS, "cancelled", "unknown")
    why = run.job_reason if waits or ended else None
    if not run.has_job and state in _AS_WAS:
        state = _OVER
    elif not run.has_job and state == "unknown":
        state = "detached"
    return " · ".join(filter(None, (str(run.job), f"{state} ({why})" if why else state)))


def stopped_text(done: Stopped) -> str:
    """Return the result of stopping a run, as a predicate."""
    run = done.run
    left = f"; job {run.job} was not cancelled" if done.leaves_job else ""
    match done.how:
        case "dequeued":
            away = "; Slurm's controller does not answer" if done.is_slurm_away else ""
            return f"was removed from the queue{away}{left}{left and ', and will skip the run'}"
        case "asked":
            where = f" on {run.host}" if run.has_job else ""
            return f"is stopping{where} after the current step{left}"
        case "killed" | "cancelled":
            with_job = f" with job {run.job}" if run.has_job and not left else ""
            mates = f", and so were {', '.join(done.mates)}" if done.mates else ""
            return f"was {done.how}{with_job}{mates}{left}"
        case "released":
            return f"was detached from job {run.job}; the job was not cancelled"
        case "gone":
            ended = f"has already ended: {run.status}"
            return ended if run.has_ended else "has no process here to stop"


def queue_lines(
    live: Sequence[Run],
    waiting: Sequence[Run],
    slots: Sequence[str | None],
    times: Mapping[str, QueueTime],
    *,
    cells: int | None,
) -> Iterator[str]:
    """Yield the slots, then a table of running runs and of queued ones in order, with the times of
    these."""
    yield slots_line(live, waiting, slots)
    if live or waiting:
        yield ""
        yield from table_lines(QUEUE_COLUMNS, [*queue_rows(live, waiting, times)], cells)


def job_lines(
    runs: Sequence[Run], *, cells: int | None, stopping: Collection[str] = ()
) -> Iterator[str]:
    """Yield a table of the runs of a cluster and, below it, why jobs are pending; nothing if there
    are none. ``stopping``: ids of runs that are about to stop."""
    if not runs:
        return
    counts = Counter(run.status for run in runs)
    yield ""
    yield " · ".join(["on the cluster", *(f"{n} {status}" for status, n in counts.items())])
    yield ""
    rows = [
        [sign, name, run_id, job, node]
        for sign, _, name, *_, job, run_id, node in job_rows(runs, stopping)
    ]
    yield from table_lines(JOB_COLUMNS, rows, cells)
    why = {run.job_reason: words for run in runs if (words := reason_in_words(run))}
    for reason, words in why.items():
        yield f"  {plain_text(reason or '').partition(',')[0]}: {words}"


def slots_line(live: Sequence[Run], waiting: Sequence[Run], slots: Sequence[str | None]) -> str:
    """Return the number of slots, of running and of queued runs."""
    held = sum(run.is_held for run in waiting)
    parts = [plural(len(slots), "slot"), f"{len(live)} running", f"{len(waiting)} queued"]
    return " · ".join([*parts, f"{held} held"] if held else parts)


def at_rest_lines(waiting: Sequence[Run]) -> Iterator[str]:
    """Yield a warning if nothing starts the queued runs, and what to do; held ones are ignored."""
    if count := sum(run.is_due for run in waiting):
        verb = "is" if count == 1 else "are"
        yield f"{plural(count, 'run')} {verb} queued, but the queue is not being processed:"
        yield "  vld queue start  # start them as slots become free"


def queue_rows(
    live: Sequence[Run], waiting: Sequence[Run], times: Mapping[str, QueueTime]
) -> Iterator[list[str]]:
    """Yield the cells of each run; ``times`` are those of queued runs, by id."""
    for run in live:
        left = f"{duration(run.seconds_left)} left" if run.seconds_left is not None else ""
        done = f"{run.step:,}/{run.steps:,} {left}".rstrip() if run.has_spec else run.status
        if doing := brief_activity(run):
            done = activity(run) if run.step == 0 else f"{done} · {doing}"
        yield [STATUS_SIGNS[run.status], "", *_what(run), done, run.run_id, run.gpu or UNKNOWN]
    for position, run in enumerate(waiting, start=1):
        state = _waiting_state(run, times.get(run.run_id))
        yield [STATUS_SIGNS[run.status], str(position), *_what(run), state, run.run_id, ""]


def _what(run: Run) -> list[str]:
    """Return a run's name, target, dropout rate and seed."""
    if not run.has_spec:
        return [plain_text(run.label), "", "", ""]
    target = plain_text(run.target or UNKNOWN)
    return [plain_text(run.label), target, f"{run.spec.dropout_rate:g}", str(run.spec.seed)]


def _waiting_state(run: Run, time: QueueTime | None) -> str:
    if run.status == DAMAGED:
        return f"damaged: vld show {run.run_id}"
    parts = ["held" if run.is_held else "queued"]
    if time is not None and time.starts_s is not None:
        parts.append(f"starts in {duration(time.starts_s)}" if time.starts_s else "starts next")
    if time is not None and time.takes_s is not None:
        parts.append(f"takes {duration(time.takes_s)}")
    return " · ".join(parts)


def job_rows(runs: Sequence[Run], stopping: Collection[str] = ()) -> Iterator[list[str]]:
    """Yield the cells of runs of a cluster, under the same headings."""
    for run in runs:
        how = job_text(run)
        if run.status == "running":
            how = f"{run.step:,}/{run.steps:,} · job {run.job}"
        if run.run_id in stopping:
            how += " · stopping"
        node = plain_text(run.job_node or UNKNOWN)
        yield [
            STATUS_SIGNS[run.status],
            "",
            *_what(run),
            plain_text(how),
            run.run_id,
            node,
        ]
