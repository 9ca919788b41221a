"""``vld stop``: save a checkpoint and stop runs."""

from __future__ import annotations

import time
from typing import Annotated, Final

import typer

from vld_tui.cli.command import Command, run_argument
from vld_tui.cli.output import say
from vld_tui.cli.session import open_for_runs
from vld_tui.control.stop import refuse_stopped
from vld_tui.control.stop import stop as stop_run
from vld_tui.launch.local import await_exit
from vld_tui.store.store import Store
from vld_tui.views.combined import position_label
from vld_tui.views.queue import stopped_text

PATIENCE_S: Final = 15.0
POLL_INTERVAL_S: Final = 0.1

LiveRuns = Annotated[
    list[str], run_argument("RUN...", "Run ids, unique id prefixes, names or @last.", "live runs")
]

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=Command)
def stop(
    ctx: typer.Context,
    runs: LiveRuns,
    kill: Annotated[
        bool, typer.Option("--kill", help="Kill the runs immediately, without saving a checkpoint.")
    ] = False,
) -> None:
    """Stop runs after the current step, and wait briefly for them to end."""
    with open_for_runs(ctx, runs) as store:
        known = [store.runs.get(run) for run in runs]
        for run in known:
            refuse_stopped(store, run)
        waited_for = []
        for run in known:
            done = stop_run(store, run.run_id, kill=kill)
            if done.how == "dequeued" or done.run.has_job:
                say(f"{run.run_id} {stopped_text(done)}")
            else:
                waited_for.append(run.run_id)
        _wait(store, waited_for, kill=kill)


def _wait(store: Store, waiting: list[str], *, kill: bool) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while waiting and time.monotonic() < deadline:
        for run_id in list(waiting):
            run = store.runs.get(run_id)
            if not run.is_live and await_exit(store.runs.run_dir(run_id), 0.0):
                waiting.remove(run_id)
                is_killed = kill and run.status in ("crashed", "stopped") and run.error is not None
                outcome = "killed" if is_killed else run.status
                say(f"{run_id} {outcome} at {position_label(run.step, run.task, of_all=True)}")
        time.sleep(POLL_INTERVAL_S)
    for run_id in waiting:
        say(f"{run_id} is stopping after the current step")
