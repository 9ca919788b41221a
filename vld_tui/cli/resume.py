"""``vld resume``: go on with a run from its last checkpoint."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from vld_tui.cli.command import Command, JsonOption, RunArgument
from vld_tui.cli.errors import CommandError
from vld_tui.cli.follow import run_and_follow, start_and_leave
from vld_tui.cli.queue import tell_queued
from vld_tui.cli.session import open_store, refresh
from vld_tui.cli.slurm import (
    OnOption,
    ProfileOption,
    place_of,
    tell_submitted,
    with_slurm_options,
)
from vld_tui.slurm.settings import SlurmSettings
from vld_tui.store.runs import QUEUED, Run
from vld_tui.store.store import Store

app = typer.Typer(add_completion=False, rich_markup_mode=None)

DetachOption = Annotated[
    bool, typer.Option("--detach", help="Start the run, print its id and return.")
]

QueueOption = Annotated[
    bool, typer.Option("--queue", help="Let the run wait for a free slot and return.")
]


GpusOption = Annotated[
    int | None,
    typer.Option(
        "--gpus", metavar="N", min=1, help="GPUs to go on on [default: as many as it was made for]."
    ),
]


@app.command(cls=Command)
@with_slurm_options
def resume(
    ctx: typer.Context,
    run: RunArgument,
    detach: DetachOption = False,
    queue: QueueOption = False,
    gpus: GpusOption = None,
    as_json: JsonOption = False,
    on: OnOption = None,
    profile: ProfileOption = None,
    **given: Any,
) -> None:
    """Start the engine again on a run's folder and follow it, or submit the run again where it
    was on a cluster."""
    with open_store(ctx) as store:
        settings = place_of(store.home, on, profile, given)
        refresh(store)
        known = store.get(run)
        if known.trashed_at is not None:
            raise CommandError(
                f"Run {known.run_id} is in the trash.\nFirst: vld restore {known.run_id}"
            )
        on_cluster = settings is not None or (on is None and known.job is not None and not queue)
        if gpus is not None and (queue or on_cluster):
            raise CommandError(
                "A run that waits gets as many GPUs as it was made for: leave out --gpus or "
                f"{'--queue' if queue else 'go on here with --on local'}."
            )
        if known.has_job and not on_cluster:
            raise CommandError(
                f"Run {known.run_id} was given to job {known.job}, which is not over.\n"
                f"First: vld stop {known.run_id}"
            )
        if on_cluster:
            _submit(store, known, settings, as_json=as_json)
            return
        if queue:
            store.enqueue(known.run_id)
            tell_queued(store, store.get(known.run_id), as_json=as_json)
            return
        if known.status == "finished":
            raise CommandError(f"Run {known.run_id} is finished: there is nothing to go on with.")
        if known.status == QUEUED:
            store.take_out(known.run_id)  # a person would rather not wait
        if known.is_live:
            raise CommandError(
                f"Run {known.run_id} is {known.status} (process {known.pid} on {known.host}).\n"
                f"Watch it with: vld logs -f {known.run_id}"
            )
        if detach:
            start_and_leave(store, known, resumes=True, as_json=as_json, gpus=gpus)
            return
        following = [
            (f"vld curve {known.run_id}", "its accuracies and loss over the steps"),
            (f"vld show {known.run_id}", "everything known of it"),
        ]
        run_and_follow(store, known, resumes=True, as_json=as_json, following=following, gpus=gpus)


def _submit(store: Store, run: Run, settings: SlurmSettings | None, *, as_json: bool) -> None:
    """Submit a run again; ``settings`` None: as the last time."""
    from vld_tui.slurm.control import submit_again  # noqa: PLC0415 - many do without a cluster

    submit_again(store, run, settings)
    tell_submitted(store, run.run_id, as_json=as_json)
