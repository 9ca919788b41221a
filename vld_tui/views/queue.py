"""What goes on and what waits, as plain lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from vld_tui.runs.run import DAMAGED, Run
from vld_tui.views.jobs import job_text, reason_in_words
from vld_tui.words.columns import Column, table_lines
from vld_tui.words.numbers import UNKNOWN, duration, plural
from vld_tui.words.palette import STATUS_SIGNS
from vld_tui.words.text import plain_text

QUEUE_COLUMNS: Final = (
    Column("", rank=100),
    Column("#", right=True, rank=100),
    Column("name", rank=99, shrinks=True, narrowest=18),
    Column("run", rank=50),
    Column("progress", rank=90),
    Column("gpu", rank=40),
)
JOB_COLUMNS: Final = (
    Column("", rank=100),
    Column("name", rank=99, shrinks=True, narrowest=18),
    Column("run", rank=50),
    Column("job", rank=90, shrinks=True, narrowest=20),
    Column("node", rank=40),
)


def queue_lines(
    live: Sequence[Run], waiting: Sequence[Run], slots: Sequence[str | None], *, cells: int | None
) -> Iterator[str]:
    """Yield the slots, then a table: runs that go on, and those that wait in order."""
    yield slots_line(live, waiting, slots)
    if live or waiting:
        yield ""
        yield from table_lines(QUEUE_COLUMNS, [*queue_rows(live, waiting)], cells)


def job_lines(
    runs: Sequence[Run], *, cells: int | None, stopping: Collection[str] = ()
) -> Iterator[str]:
    """Yield a table of the runs that were given to a cluster, and below it what keeps jobs from
    starting; nothing where there are none. ``stopping``: ids of those that were asked to."""
    if not runs:
        return
    counts = Counter(run.status for run in runs)
    yield ""
    yield " · ".join(["on the cluster", *(f"{n} {status}" for status, n in counts.items())])
    yield ""
    rows = [
        [sign, name, run_id, job, node]
        for sign, _, name, run_id, job, node in job_rows(runs, stopping)
    ]
    yield from table_lines(JOB_COLUMNS, rows, cells)
    why = {run.job_reason: words for run in runs if (words := reason_in_words(run))}
    for reason, words in why.items():
        yield f"  {plain_text(reason or '').partition(',')[0]}: {words}"


def slots_line(live: Sequence[Run], waiting: Sequence[Run], slots: Sequence[str | None]) -> str:
    """Return what there is room for and what waits."""
    held = sum(run.is_held for run in waiting)
    parts = [plural(len(slots), "slot"), f"{len(live)} going on", f"{len(waiting)} waiting"]
    return " · ".join([*parts, f"{held} of them held"] if held else parts)


def at_rest_lines(waiting: Sequence[Run]) -> Iterator[str]:
    """Say that nobody starts the runs that wait, and what to do; held ones are meant to wait."""
    if count := sum(run.is_due for run in waiting):
        verb = "waits" if count == 1 else "wait"
        yield f"{plural(count, 'run')} {verb}, but nobody works on the queue:"
        yield "  vld queue start  # starts them as slots come free"


def queue_rows(live: Sequence[Run], waiting: Sequence[Run]) -> Iterator[list[str]]:
    """Yield the cells of each run."""
    for run in live:
        left = f"{duration(run.seconds_left)} left" if run.seconds_left is not None else ""
        done = f"{run.step:,}/{run.steps:,} {left}".rstrip() if run.has_spec else run.status
        name, gpu = plain_text(run.name), run.gpu or UNKNOWN
        yield [STATUS_SIGNS[run.status], "", name, run.run_id, done, gpu]
    for place, run in enumerate(waiting, start=1):
        state, name = _waiting_state(run), plain_text(run.name)
        yield [STATUS_SIGNS[run.status], str(place), name, run.run_id, state, ""]


def _waiting_state(run: Run) -> str:
    if run.status == DAMAGED:
        return f"damaged: vld show {run.run_id}"
    return "held" if run.is_held else "queued"


def job_rows(runs: Sequence[Run], stopping: Collection[str] = ()) -> Iterator[list[str]]:
    """Yield the cells of runs that were given to a cluster, under the same headings."""
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
            plain_text(run.name),
            run.run_id,
            plain_text(how),
            node,
        ]
