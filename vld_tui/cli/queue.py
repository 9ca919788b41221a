"""``vld queue``: manage queued runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from vld_tui.cli.command import Command, Group, JsonOption, run_argument
from vld_tui.cli.output import print_json, say, suggest, terminal_cells, with_home
from vld_tui.cli.session import open_store, refresh
from vld_tui.control import queue
from vld_tui.control.queue import Queued
from vld_tui.control.records import run_records
from vld_tui.control.stop import dequeue
from vld_tui.launch.queue import is_supervised, slots_of
from vld_tui.runs.run import Run
from vld_tui.runs.run_folder import stop_asked
from vld_tui.store.store import Store
from vld_tui.study.queue_times import QueueForecast
from vld_tui.views.queue import at_rest_lines, job_lines, queue_lines
from vld_tui.words.numbers import plural

QueuedRun = Annotated[
    str, run_argument("RUN", "Run id, unique id prefix, name or @last.", "queued runs")
]

app = typer.Typer(cls=Group, add_completion=False, rich_markup_mode=None)

GpusOption = Annotated[
    str | None,
    typer.Option(
        "--gpus", metavar="N,N", help="GPUs that the queue uses from now on: indices, or all."
    ),
]


@app.command(cls=Command)
def ls(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """List running and queued runs in order."""
    with open_store(ctx, to_look=True) as store:
        refresh(store)
        live = [run for run in store.live.runs() if not run.has_job]
        waiting, given = store.queue.runs(), store.jobs.runs()
        slots = slots_of(store)
        times = {} if as_json else QueueForecast().read(store, live, waiting, len(slots))
        is_worked_on = is_supervised(store.home)
        live_records, waiting_records = run_records(store, live), run_records(store, waiting)
        given_records = run_records(store, given)
        asked = {
            run.run_id
            for run in given
            if run.is_live and stop_asked(store.runs.run_dir(run.run_id))
        }
    if as_json:
        print_json(
            {"slots": list(slots), "worked_on": is_worked_on, "live": live_records,
             "waiting": [record | {"held": run.is_held}
                         for record, run in zip(waiting_records, waiting, strict=True)],
             "on_cluster": [record | {"stopping": run.run_id in asked}
                            for record, run in zip(given_records, given, strict=True)]}
        )  # fmt: skip
        return
    cells = terminal_cells()
    for line in queue_lines(live, waiting, slots, times, cells=cells):
        say(line)
    for line in () if is_worked_on else at_rest_lines(waiting):
        say(with_home(line))
    for line in job_lines(given, cells=cells, stopping=asked):
        say(line)


@app.command(cls=Command)
def start(ctx: typer.Context) -> None:
    """Start the queue if it has stopped."""
    with open_store(ctx) as store:
        refresh(store)
        work, queued = queue.work_on_queue(store), store.queue.runs()
    if not queued:
        say("The queue is empty.")
    elif not work.due:
        say(with_home("No queued run can start: all are held or damaged. See: vld queue ls"))
    elif work.was_supervised:
        say("The queue is already being processed.")
    else:
        say(f"{plural(work.due, 'run')} will start as slots become free.")


@app.command(cls=Command)
def up(ctx: typer.Context, run: QueuedRun) -> None:
    """Move a run one place up."""
    with open_store(ctx) as store:
        store.queue.move(store.runs.get(run).run_id, -1)


@app.command(cls=Command)
def down(ctx: typer.Context, run: QueuedRun) -> None:
    """Move a run one place down."""
    with open_store(ctx) as store:
        store.queue.move(store.runs.get(run).run_id, 1)


@app.command(cls=Command)
def hold(ctx: typer.Context, run: QueuedRun) -> None:
    """Hold a run until it is released."""
    with open_store(ctx) as store:
        _hold(store, store.runs.get(run), is_held=True)


@app.command(cls=Command)
def release(ctx: typer.Context, run: QueuedRun) -> None:
    """Release a held run."""
    with open_store(ctx) as store:
        _hold(store, store.runs.get(run), is_held=False)


@app.command(cls=Command)
def rm(ctx: typer.Context, run: QueuedRun) -> None:
    """Remove a run from the queue; vld resume starts it."""
    with open_store(ctx) as store:
        dequeue(store, store.runs.get(run).run_id)


@app.command(cls=Command)
def slots(
    ctx: typer.Context,
    count: Annotated[
        int | None,
        typer.Argument(
            metavar="[N]", help="Maximum concurrent runs; 0: one per GPU, or one without GPUs."
        ),
    ] = None,
    gpus: GpusOption = None,
) -> None:
    """Show or set the number of concurrent runs and their GPUs."""
    with open_store(ctx) as store:
        queue.set_slots(store, count, gpus)
        made = slots_of(store)
    on = [slot for slot in made if slot is not None]
    say(f"{plural(len(made), 'slot')}{', on GPU ' if on else ''}{', '.join(on)}")


def _hold(store: Store, run: Run, *, is_held: bool) -> None:
    run = queue.hold(store, run.run_id, is_held=is_held)
    what = f"held; to release: vld queue release {run.run_id}" if is_held else "released"
    say(with_home(f"{run.run_id} {what}"))


def tell_queued(store: Store, queued: Sequence[Queued], *, as_json: bool) -> None:
    """Start processing the queue and print a run's place in it."""
    if as_json:
        records = run_records(store, [each.run for each in queued])
        print_json(records[0] if len(records) == 1 else records)
        return
    for run, place in ((each.run, each.place) for each in queued):
        where = "starting" if place is None else f"number {place}"
        say(f"run {run.run_id}  {run.label} · queued: {where}")
        suggest(
            [
                ("vld queue ls", "running and queued runs"),
                (f"vld stop {run.run_id}", "remove it from the queue, or stop it once it runs"),
            ]
        )
