"""``vld stop``: ask runs to save and stop."""

from __future__ import annotations

import time
from typing import Annotated, Final

import typer

from vld_tui.cli.command import Command, run_argument
from vld_tui.cli.errors import CommandError
from vld_tui.cli.output import say
from vld_tui.cli.session import open_for_runs
from vld_tui.launch.local import await_exit
from vld_tui.launch.local import stop as stop_process
from vld_tui.runs.run import DAMAGED, QUEUED, Run
from vld_tui.store.store import Store

PATIENCE_S: Final = 15.0
POLL_INTERVAL_S: Final = 0.1

LiveRuns = Annotated[
    list[str], run_argument("RUN...", "Ids, unique prefixes, names or @last.", "live runs")
]

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=Command)
def stop(
    ctx: typer.Context,
    runs: LiveRuns,
    kill: Annotated[
        bool, typer.Option("--kill", help="End them at once, without a checkpoint.")
    ] = False,
) -> None:
    """Stop runs after the step they are in, and wait a moment until they have."""
    with open_for_runs(ctx, runs) as store:
        known = [store.get(run) for run in runs]
        for run in known:
            if run.status == DAMAGED and not await_exit(store.run_dir(run.run_id), 0.0):
                continue  # its process works all the same
            if not run.is_live and run.status != QUEUED and not run.has_job:
                raise CommandError(f"Run {run.run_id} is not running: it is {run.status}.")
            if store.is_copy and not run.is_live:
                raise CommandError(
                    f"Run {run.run_id} is {run.status}, which only the history knows, and that "
                    "cannot be written: try again."
                )
        for run in known:
            if run.has_job:
                _stop_on_cluster(store, run, kill=kill)
            elif run.status == QUEUED:
                store.take_out(run.run_id)
                say(f"{run.run_id} waits no longer")
            else:
                stop_process(store.run_dir(run.run_id), kill=kill)
        waited_for = [run for run in known if run.status != QUEUED and not run.has_job]
        _wait(store, [run.run_id for run in waited_for], kill=kill)


def _stop_on_cluster(store: Store, run: Run, *, kill: bool) -> None:
    from vld_tui.launch.slurm import control  # many do without a cluster

    say(f"{run.run_id} {control.stop(store, run, kill=kill)}")


def _wait(store: Store, waiting: list[str], *, kill: bool) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while waiting and time.monotonic() < deadline:
        for run_id in list(waiting):
            run = store.get(run_id)
            if not run.is_live and await_exit(store.run_dir(run_id), 0.0):
                waiting.remove(run_id)
                is_killed = kill and run.status in ("crashed", "stopped") and run.error is not None
                outcome = "killed" if is_killed else run.status
                say(f"{run_id} {outcome} at step {run.step:,} of {run.steps:,}")
        time.sleep(POLL_INTERVAL_S)
    for run_id in waiting:
        say(f"{run_id} was asked to stop and still finishes its step")
