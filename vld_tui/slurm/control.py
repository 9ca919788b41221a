"""Stop, hold and submit again runs that were given to a cluster."""

from __future__ import annotations

import socket

from vld_tui.launch.local import refuse_copy
from vld_tui.slurm import commands
from vld_tui.slurm.errors import SlurmError
from vld_tui.slurm.settings import SlurmSettings, make_settings
from vld_tui.slurm.submit import Cluster, find_lost_batches, submit_runs
from vld_tui.slurm.watch import look_at_jobs
from vld_tui.store.runs import QUEUED, Run
from vld_tui.store.store import Store


def stop(store: Store, run: Run, *, kill: bool = False) -> None:
    """Have a run save and stop, on whatever node it is, or begin no more if it waits.

    Its job is cancelled when it has no other run to do, or with ``kill``, at once and whole.

    Raises:
        SlurmError: when Slurm does not cancel the job.
        StoreError: when it cannot be recorded.
        LaunchError: when the run's folder is a copy of one elsewhere.
        OSError: when the run's folder cannot be written.
    """
    refuse_copy(store.run_dir(run.run_id))
    cancels = kill or (run.status == QUEUED and len(job_mates(store, run)) == 1)
    if cancels:
        commands.require_controller()
    store.run_dir(run.run_id).ask_to_stop(f"asked from {socket.gethostname()}")
    if cancels:
        commands.ask("scancel", *(["--signal=KILL"] if kill and run.is_live else []), _job(run))
    if run.status == QUEUED:
        store.take_out_of_job(run.run_id)


def job_mates(store: Store, run: Run) -> list[str]:
    """Return the ids of the runs of a run's job that are not over, its own among them."""
    return [
        each.run_id
        for each in store.open_jobs()
        if each.job.job_id == run.job and each.status in (QUEUED, "starting", "running")
    ]


def hold(store: Store, run: Run, *, is_held: bool = True) -> None:
    """Keep a run's job from running, or no longer.

    Raises:
        SlurmError: when it does not wait, or Slurm refuses.
        StoreError: when it cannot be recorded.
    """
    refuse_copy(store.run_dir(run.run_id))
    if run.status != QUEUED:
        raise SlurmError(f"Run {run.run_id} does not wait: it is {run.status}.")
    commands.require_controller()
    commands.ask("scontrol", "hold" if is_held else "release", _job(run))
    look_at_jobs(store)


def submit_again(store: Store, run: Run, settings: SlurmSettings | None = None) -> None:
    """Submit a run that is over; ``settings`` None: as it was submitted the last time.

    Raises:
        SlurmError: when it is finished, not over, or the cluster does not take it.
        StoreError: when it cannot be recorded.
        LaunchError: when the run's folder is a copy of one elsewhere.
        OSError: when the run's folder cannot be written.
    """
    find_lost_batches(store)
    run = store.get(run.run_id)
    if run.status == "finished":
        raise SlurmError(f"Run {run.run_id} is finished: there is nothing to go on with.")
    if run.has_job or run.is_live or run.status == QUEUED:
        job = f", with job {run.job}" if run.has_job else ""
        raise SlurmError(f"Run {run.run_id} is {run.status}{job}.")
    run_dir = store.run_dir(run.run_id)
    refuse_copy(run_dir)
    if settings is None:
        job_info = run_dir.read_job()
        settings = make_settings(dict(job_info.settings) if job_info else {})
    submit_runs(store, Cluster(settings), [run.run_id])


def _job(run: Run) -> str:
    if run.job is None or not run.has_job:
        raise SlurmError(f"Run {run.run_id} has no job that waits or runs.")
    return run.job
