"""The queue of this machine: hold, release and dequeue runs, and have them started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vld_tui.config import QueueConfig
from vld_tui.launch.local import refuse_copy
from vld_tui.launch.queue import is_supervised, queue_settings, start_supervisor
from vld_tui.launch.slurm import commands
from vld_tui.launch.slurm.commands import SlurmError
from vld_tui.launch.slurm.jobs import look_at_jobs
from vld_tui.runs.run import QUEUED, Run
from vld_tui.store.store import Store


@dataclass(frozen=True)
class Queued:
    """A run that was queued; ``place`` in the queue counts from 1, None: it is starting already."""

    run: Run
    place: int | None


@dataclass(frozen=True)
class QueueWork:
    """How many runs are due, and whether a process worked on the queue already."""

    due: int
    was_supervised: bool


def hold(store: Store, run_id: str, *, is_held: bool) -> Run:
    """Hold a queued run, here or on a cluster, or release it; return it as it was.

    Raises:
        LaunchError: when the folder of a run on a cluster is a copy, or nothing can work on the
            queue.
        SlurmError: when the run of a cluster is not queued, or Slurm refuses.
        StoreError: when it is not queued, or that cannot be recorded.
    """
    run = store.runs.get(run_id)
    if run.has_job:
        _hold_job(store, run, is_held=is_held)
        return run
    store.queue.hold(run_id, is_held=is_held)
    if not is_held:
        start_supervisor(store.home)
    return run


def start_queued(store: Store, run_ids: Sequence[str]) -> tuple[Queued, ...]:
    """Have a process start queued runs as slots become free, and return their places.

    Raises:
        LaunchError: when nothing can work on the queue.
    """
    queue = [run.run_id for run in store.queue.runs()]
    start_supervisor(store.home)
    return tuple(
        Queued(store.runs.get(run_id), queue.index(run_id) + 1 if run_id in queue else None)
        for run_id in run_ids
    )


def set_slots(store: Store, count: int | None = None, gpus: str | None = None) -> None:
    """Set how many runs of the queue run at once, and on which GPUs: both or neither.

    Raises:
        SlotsError: see :func:`vld_tui.launch.queue.queue_settings`.
        StoreError: when it cannot be saved.
    """
    store.settings.set_in_section(QueueConfig, queue_settings(count, gpus))


def work_on_queue(store: Store, slots: int | None = None) -> QueueWork:
    """Have a process start the queued runs as slots become free, unless one does so already.

    ``slots``: how many that process has; None: as stored.

    Raises:
        LaunchError: when it cannot be started.
        StoreError: when the queue cannot be read.
    """
    due = sum(run.is_due for run in store.queue.runs())
    was_supervised = is_supervised(store.home)
    if due and not was_supervised:
        start_supervisor(store.home, slots)
    return QueueWork(due, was_supervised)


def _hold_job(store: Store, run: Run, *, is_held: bool) -> None:
    refuse_copy(store.runs.run_dir(run.run_id))
    if run.status != QUEUED:
        raise SlurmError(f"Run {run.label} is not queued: it is {run.status}.")
    if run.job is None:
        raise SlurmError(f"Run {run.label} has no queued or running job.")
    commands.require_controller()
    commands.ask("scontrol", "hold" if is_held else "release", run.job)
    look_at_jobs(store)
