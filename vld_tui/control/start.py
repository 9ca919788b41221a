"""Start runs, and resume them: in a process of this machine, in its queue, or on a cluster."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence

import msgspec

from engine.protocol import RunSpec
from vld_tui.control.queue import Queued, start_queued
from vld_tui.home import Home
from vld_tui.launch.datasets import added_folder, check_own_name
from vld_tui.launch.local import EXIT_PATIENCE_S, LaunchError, launch, refuse_copy
from vld_tui.launch.notify.process import watch
from vld_tui.launch.slurm.commands import SlurmError
from vld_tui.launch.slurm.jobs import find_lost_batches, look_at_jobs
from vld_tui.launch.slurm.settings import SlurmSettings, make_settings
from vld_tui.launch.slurm.submit import Cluster, Submission, submit_runs, submit_what_fits
from vld_tui.runs.run import DAMAGED, QUEUED, Run
from vld_tui.store.errors import StoreError, out_of_reach
from vld_tui.store.store import Store
from vld_tui.study.teacher import with_teacher


def located(home: Home, spec: RunSpec) -> RunSpec:
    """Return a spec with the folder of its data set, if that was added by name, and the id of its
    teacher.

    Raises:
        DatasetError: when other images have the name of a published data set.
        LaunchError: when its images cannot be read.
        TeacherError: when it cannot learn from its teacher.
    """
    folder = None if spec.data_dir else added_folder(home, spec.dataset)
    if folder is not None:
        spec = msgspec.structs.replace(spec, data_dir=str(folder))
    check_own_name(home, spec)
    return with_teacher(home, spec)


def begin(
    store: Store, run: Run, *, resumes: bool = False, gpus: int | None = None
) -> subprocess.Popen[bytes]:
    """Start the process of a run; a new run that cannot be started is deleted.

    ``gpus``: the number of GPUs; None: as in the spec.

    Raises:
        LaunchError: when it cannot be started.
    """
    run_dir = store.runs.run_dir(run.run_id)
    try:
        process = launch(run_dir, patience_s=EXIT_PATIENCE_S if resumes else 0.0, gpus=gpus)
    except LaunchError:
        if not resumes:
            store.trash.discard(run.run_id)
        raise
    if resumes:
        store.live.mark_relaunched(run.run_id)
    watch(store)
    return process


def submit(store: Store, run: Run, cluster: Cluster) -> Run:
    """Submit a new run, and return it with its job; it is deleted if the cluster rejects it.

    Raises:
        SlurmError: when the cluster rejects it.
        StoreError: when the submission cannot be recorded.
    """
    try:
        submit_runs(store, cluster, [run.run_id])
    except SlurmError:
        store.trash.discard(run.run_id)
        raise
    watch(store)
    return store.runs.get(run.run_id)


def refuse_unresumable(store: Store, run: Run, *, may_be_queued: bool = False) -> None:
    """Refuse to resume a run that is finished, live or queued.

    ``may_be_queued``: accept a run that is queued on this machine.

    Raises:
        LaunchError: when the run's folder is a read-only copy.
        SlurmError: when its job has not ended.
        StoreError: when it is in the trash, finished, damaged, live or queued.
    """
    refuse_copy(store.runs.run_dir(run.run_id))
    name = f"Run {run.label}"
    if (reason := out_of_reach(run)) is not None:
        raise StoreError(reason)
    if run.status == "finished":
        raise StoreError(f"{name} has finished: nothing to resume.")
    if run.status == DAMAGED:
        raise StoreError(f"{name} is damaged: {run.error}")
    _refuse_open_job(run)
    if run.is_live:
        raise StoreError(
            f"{name} is {run.status} (process {run.pid} on {run.host}).\n"
            f"Follow it with: vld logs -f {run.run_id}"
        )
    if run.status == QUEUED and not may_be_queued:
        raise StoreError(
            f"{name} is queued.\nRemove it from the queue first: vld stop {run.run_id}"
        )


def resume_here(store: Store, run_id: str, *, gpus: int | None = None) -> subprocess.Popen[bytes]:
    """Start a run's process again, from its last checkpoint, also if the run is queued.

    ``gpus``: the number of GPUs; None: as in the spec.

    Raises:
        LaunchError, SlurmError, StoreError: see :func:`refuse_unresumable`, and when its process
            cannot be started.
    """
    run = store.runs.get(run_id)
    refuse_unresumable(store, run, may_be_queued=True)
    if run.status == QUEUED:
        store.queue.remove(run_id)
    return begin(store, run, resumes=True, gpus=gpus)


def queue_again(store: Store, run_ids: Sequence[str]) -> tuple[Queued, ...]:
    """Queue runs that have ended, to resume them when a slot is free; all of them or none.

    Raises:
        LaunchError, SlurmError, StoreError: see :func:`refuse_unresumable`, and when nothing can
            work on the queue.
    """
    for run in _look_again(store, run_ids):
        refuse_unresumable(store, run)
    for run_id in run_ids:
        store.queue.add(run_id)
    return start_queued(store, run_ids)


def as_last_time(last: SlurmSettings | None) -> SlurmSettings:
    """Return the settings of the previous job, or the defaults."""
    return last or SlurmSettings()


def submit_again(
    store: Store,
    run_ids: Sequence[str],
    asks: Callable[[SlurmSettings | None], SlurmSettings] = as_last_time,
) -> Submission:
    """Submit runs that have ended, those with the same settings together.

    ``asks``: returns the settings of a run's job, given those of its previous one; None: it never
    had one.

    Raises:
        LaunchError, StoreError: see :func:`refuse_unresumable`.
        SlurmError: when a job has not ended, or the cluster accepts none.
        OSError: when a run's folder cannot be written.
    """
    find_lost_batches(store)
    grouped: dict[SlurmSettings, list[str]] = {}
    for run in _look_again(store, run_ids):
        refuse_unresumable(store, run)
        grouped.setdefault(asks(_last_settings(store, run)), []).append(run.run_id)
    clusters = [Cluster(each) for each in grouped]  # each checks its settings
    submission = Submission()
    for cluster, together in zip(clusters, grouped.values(), strict=True):
        submission += submit_what_fits(store, cluster, together)
    watch(store)
    return submission.unless_refused()


def _look_again(store: Store, run_ids: Sequence[str]) -> list[Run]:
    """Return runs as they are now; the cluster is queried about jobs that had not ended.

    Raises:
        LaunchError: when a run's folder is a read-only copy.
        StoreError: when their state cannot be recorded.
    """
    for run_id in run_ids:
        refuse_copy(store.runs.run_dir(run_id))
    runs = [store.runs.get(run_id) for run_id in run_ids]
    if not any(run.has_job for run in runs):
        return runs
    look_at_jobs(store)
    return [store.runs.get(run_id) for run_id in run_ids]


def _refuse_open_job(run: Run) -> None:
    if run.has_job:
        first = f"Stop it first: vld stop {run.run_id}"
        if not (run.is_live or run.status == QUEUED):  # the job is ending, or has other runs
            first = f"Try again in a moment, or release it from the job: vld stop {run.run_id}"
        raise SlurmError(
            f"Run {run.label} is {run.status}, but its job {run.job} has not ended.\n{first}"
        )


def _last_settings(store: Store, run: Run) -> SlurmSettings | None:
    """Return the settings of the run's previous job; None: it never had one."""
    job_info = store.runs.run_dir(run.run_id).read_job()
    return make_settings(dict(job_info.settings)) if job_info else None
