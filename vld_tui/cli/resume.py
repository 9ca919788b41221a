"""``vld resume``: resume runs from their last checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import typer

from vld_tui.cli.command import Command, JsonOption, run_argument
from vld_tui.cli.errors import CommandError
from vld_tui.cli.follow import DetachOption, run_and_follow, start_and_leave
from vld_tui.cli.queue import tell_queued
from vld_tui.cli.session import open_store, refresh
from vld_tui.cli.slurm import (
    Asked,
    OnOption,
    ProfileOption,
    print_submission,
    tell_submission,
    tell_submitted,
    with_slurm_options,
)
from vld_tui.control.start import queue_again, refuse_unresumable, submit_again
from vld_tui.runs.fields import spec_values
from vld_tui.runs.run import Run
from vld_tui.store.store import Store

app = typer.Typer(add_completion=False, rich_markup_mode=None)

BrokenRuns = Annotated[
    list[str], run_argument("RUN...", "Run ids, unique id prefixes, names or @last.", "broken runs")
]
QueueOption = Annotated[bool, typer.Option("--queue", help="Queue the runs and return.")]
GpusOption = Annotated[
    int | None,
    typer.Option("--gpus", metavar="N", help="GPUs to resume on. [default: same as before]"),
]


@app.command(cls=Command)
@with_slurm_options
def resume(
    ctx: typer.Context,
    runs: BrokenRuns,
    detach: DetachOption = False,
    queue: QueueOption = False,
    gpus: GpusOption = None,
    as_json: JsonOption = False,
    on: OnOption = None,
    profile: ProfileOption = None,
    **given: Any,
) -> None:
    """Resume runs on this machine, or submit them again if they ran on a cluster."""
    asked = Asked.take(on, profile, given)
    spec_values({"gpus": None if gpus is None else str(gpus)})  # checked as for a new run
    with open_store(ctx) as store:
        refresh(store)
        known = list({run.run_id: run for run in map(store.runs.get, runs)}.values())
        to_submit = [run for run in known if _goes_to_cluster(run, on, queue=queue)]
        here = [run for run in known if run not in to_submit]
        if gpus is not None and (queue or to_submit):
            raise CommandError(
                "--gpus cannot change the GPUs of a queued run. Drop --gpus or "
                f"{'--queue' if queue else 'add --on local'}."
            )
        if here and len(known) > 1 and not queue:
            raise CommandError(
                "Several runs cannot be resumed at once: add --queue, or name only one run."
            )
        for run in here:
            asked.settings(store.home)  # raises for cluster settings
            refuse_unresumable(store, run, may_be_queued=not queue)
        if to_submit:
            _submit(store, to_submit, asked, as_json=as_json)
        if here and queue:
            queued = queue_again(store, [run.run_id for run in here])
            tell_queued(store, queued, as_json=as_json)
        elif here:
            _resume_here(store, here[0], detach=detach, as_json=as_json, gpus=gpus)


def _goes_to_cluster(run: Run, on: str | None, *, queue: bool) -> bool:
    """Return whether to submit a run: as last time, unless ``--on`` or ``--queue`` is given."""
    return on == "slurm" or (on is None and run.job is not None and not queue)


def _resume_here(store: Store, run: Run, *, detach: bool, as_json: bool, gpus: int | None) -> None:
    """Resume a run here, and follow it unless ``detach``."""
    if detach:
        start_and_leave(store, run, resumes=True, as_json=as_json, gpus=gpus)
        return
    following = [
        (f"vld curve {run.run_id}", "accuracies and loss"),
        (f"vld show {run.run_id}", "all settings and results"),
    ]
    run_and_follow(store, run, resumes=True, as_json=as_json, following=following, gpus=gpus)


def _submit(store: Store, runs: Sequence[Run], asked: Asked, *, as_json: bool) -> None:
    """Submit runs again with their last settings and the given changes."""
    asked.refuse_contradiction(run.spec for run in runs)
    run_ids = [run.run_id for run in runs]
    submission = submit_again(store, run_ids, partial(asked.on_cluster, store.home))
    if len(runs) == 1:
        tell_submitted(store, store.runs.get(run_ids[0]), as_json=as_json)
    elif as_json:
        print_submission(submission, {})
    else:
        tell_submission(submission, "Run vld resume again later.")
