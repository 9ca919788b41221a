"""Follow runs of the queue in the foreground: progress on stderr; Ctrl-C stops them."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from typing import Final

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from vld_tui.cli.errors import FAILED_EXIT, INTERRUPTED_EXIT, CommandError
from vld_tui.cli.follow import StopRequests
from vld_tui.cli.output import say, with_home
from vld_tui.config import QueueConfig
from vld_tui.control.queue import work_on_queue
from vld_tui.control.stop import stop_runs
from vld_tui.launch.queue import find_gpus, is_supervised
from vld_tui.runs.progress import Progress as RunProgress
from vld_tui.runs.run import QUEUED, Run
from vld_tui.runs.run_folder import EventFollower
from vld_tui.store.errors import StoreError
from vld_tui.store.store import Store
from vld_tui.views.phase import phase_line
from vld_tui.views.study import failure_lines
from vld_tui.words.numbers import plural

POLL_S: Final = 0.5
LINE_INTERVAL_S: Final = 10.0
"""Shortest time between two lines of progress."""
SAME_LINE_INTERVAL_S: Final = 600.0
"""Time after which an unchanged line is printed again."""
MOST_RUNS_AT_ONCE: Final = 8
_DAY_S: Final = 86_400.0


def slots_of_one_thread(store: Store) -> int | None:
    """Return how many runs of one thread to run at once; None: as the queue is set."""
    is_set = store.settings.section(QueueConfig).slots or store.queue.runs() or find_gpus()
    if is_set:
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(MOST_RUNS_AT_ONCE, cores or 1)


def follow_runs(
    store: Store,
    look: Callable[[], Sequence[Run]],
    requests: StopRequests,
    bar: RunsBar,
    slots: int | None,
    until: Callable[[], bool] = lambda: False,
) -> tuple[Run, ...]:
    """Wait until no run is queued or running, and return the runs; the first failure or Ctrl-C
    stops the others.

    Args:
        store: the history.
        look: returns the runs as they are in history.
        requests: requests to stop; a second one kills the runs.
        bar: shows the progress.
        slots: slots of a queue process that is started again; None: as stored.
        until: stops the runs when it holds.
    """
    stops = reasons = 0
    while True:
        with contextlib.suppress(StoreError):  # another program is writing: retry later
            store.live.refresh()
        runs = tuple(look())
        queued = [run for run in runs if run.status == QUEUED]
        if not queued and not any(run.is_live for run in runs):
            return runs
        is_enough = requests.count == 0 and not stops and until()
        if requests.count == 0 and (is_enough or failed_runs(runs)):
            reasons = 1
        if requests.count + reasons > stops:
            stops += 1
            stop_runs(store, runs, kill=stops > 1)
            if not is_enough:
                bar.stops(is_again=stops > 1)
        elif queued and not (stops or is_supervised(store.home)):
            work_on_queue(store, slots)  # its process was killed
        bar.show(store, runs)
        time.sleep(POLL_S)


def failed_runs(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Return the runs that failed or crashed."""
    return tuple(run for run in runs if run.status in ("failed", "crashed"))


def refuse_unfinished(
    runs: Sequence[Run],
    total: int,
    *,
    name: str,
    command: str,
    is_interrupted: bool,
    has_more: bool = False,
) -> None:
    """Report failed or missing runs of ``total`` that the user did not all wait for.

    Args:
        runs: the existing runs.
        total: how many there should be.
        name: what they belong to.
        command: runs the others.
        is_interrupted: the user stopped them.
        has_more: other runs would follow, so an interrupt counts even if all have finished.

    Raises:
        CommandError: if a run failed.
        typer.Exit: with 130 if runs are missing otherwise, or were interrupted.
    """
    failed = failed_runs(runs)
    if failed and not is_interrupted:
        raise CommandError(
            f"{plural(len(failed), 'run')} of {name} failed: {'; '.join(failure_lines(failed))}\n"
            f"When that is fixed, run the others with: {command}",
            exit_code=FAILED_EXIT,
        )
    finished = sum(run.status == "finished" for run in runs)
    if finished < total or (is_interrupted and has_more):
        stopped = f"Stopped: {finished} of {plural(total, 'run')} finished."
        say(with_home(f"{stopped} Run the others with: {command}"), to_stderr=True)
        raise typer.Exit(INTERRUPTED_EXIT)


class RunsBar:
    """Shows the progress on stderr: a bar on a terminal, else a line now and then."""

    def __init__(self, total: int, doing: str = "training") -> None:
        console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._is_live = console.is_terminal and not console.is_dumb_terminal
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("runs"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self._bars = Progress(
            *columns, console=console, transient=True, disable=not self._is_live,
            speed_estimate_period=_DAY_S,
        )  # fmt: skip
        self._task = self._bars.add_task("starting", total=total)
        self._total, self._doing = total, doing
        self._watched: tuple[str, EventFollower, RunProgress] | None = None
        self._stopping = ""
        self._told, self._told_at = "", 0.0

    def __enter__(self) -> RunsBar:
        self._bars.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._bars.stop()

    def stops(self, *, is_again: bool) -> None:
        """Show that the runs are being stopped, or killed."""
        self._stopping = "killing" if is_again else "stopping; Ctrl-C again to kill"

    def show(self, store: Store, runs: Sequence[Run]) -> None:
        """Show how many runs are finished, and what is being done."""
        finished = sum(run.status == "finished" for run in runs)
        what = self._stopping or self._activity(store, runs, finished)
        self._bars.update(self._task, completed=finished, description=what)
        if not self._is_live:
            self._say(f"{what}: {finished} of {plural(self._total, 'run')} finished")

    def _say(self, line: str) -> None:
        """Print a line of progress, unless it was printed a short time ago."""
        passed_s = time.monotonic() - self._told_at
        least_s = SAME_LINE_INTERVAL_S if line == self._told else LINE_INTERVAL_S
        if not self._told or passed_s >= least_s:
            self._told, self._told_at = line, time.monotonic()
            say(line, to_stderr=True)

    def _activity(self, store: Store, runs: Sequence[Run], finished: int) -> str:
        live = [run.run_id for run in runs if run.is_live]
        if not live:
            own = {run.run_id for run in runs}
            others = any(
                each.run_id not in own and not store.runs.run_dir(each.run_id).is_copy
                for each in store.live.runs()
            )
            return "queued behind other runs" if others else "starting"
        first = live[0]
        if self._watched is None or self._watched[0] != first:
            self._watched = first, EventFollower(store.runs.run_dir(first)), RunProgress()
        run_id, follower, progress = self._watched
        with contextlib.suppress(OSError):
            for event in follower.news():
                progress = progress.after(event)
        self._watched = run_id, follower, progress
        if progress.model is not None or finished:
            return self._doing
        if progress.phase is not None:
            return phase_line(progress.phase.as_phase())
        return "reading images" if progress.data is None else "preparing"
