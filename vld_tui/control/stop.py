"""Stop runs on this machine, on another or in a cluster's job, and whole studies."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from engine.rundir.life import is_alive
from vld_tui.launch import local
from vld_tui.launch.local import LaunchError, ask_to_stop, refuse_copy
from vld_tui.launch.slurm import commands
from vld_tui.launch.slurm.commands import SlurmAwayError, SlurmError
from vld_tui.runs.run import BROKEN_OFF, DAMAGED, LIVE, QUEUED, Run
from vld_tui.store.errors import StoreError
from vld_tui.store.side_by_side import side_by_side
from vld_tui.store.store import Store

if TYPE_CHECKING:
    from vld_tui.study.standing import Standing

How = Literal["dequeued", "asked", "killed", "cancelled", "released", "gone"]
_BY_STUDY: Final = "vld sweep stop --kill"


@dataclass(frozen=True)
class Stopped:
    """The result of stopping a run.

    ``run`` is the run as it was before. ``how``: it was ``dequeued``, ``asked`` to save and stop,
    ``killed``, ``cancelled`` together with its queued job, or ``released``: it had ended, and its
    job will not resume it; ``gone``: it has no live process. ``leaves_job``: its job was not
    cancelled; ``is_slurm_away``: because the controller does not answer. ``mates`` are the other
    runs that were killed with the job.
    """

    run: Run
    how: How
    leaves_job: bool = False
    is_slurm_away: bool = False
    mates: tuple[str, ...] = ()


@dataclass
class StoppedStudy:
    """The result of stopping a study, by run id: dequeued, asked to stop or killed; copies of runs
    on other machines; other runs that were killed with their jobs; and why runs could not be
    stopped."""

    taken_out: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    killed: list[str] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)
    with_them: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def add(self, done: Stopped) -> None:
        """Note that a run was stopped."""
        lists = {"asked": self.asked, "killed": self.killed, "gone": []}
        lists.get(done.how, self.taken_out).append(done.run.run_id)


def refuse_stopped(store: Store, run: Run) -> None:
    """Refuse a run that is neither running nor queued.

    Raises:
        StoreError: when there is nothing to stop, or only the history, which cannot be written,
            knows the run.
    """
    if run.status == DAMAGED and not local.await_exit(store.runs.run_dir(run.run_id), 0.0):
        return  # its process works all the same
    if not run.is_live and run.status != QUEUED and not run.has_job:
        raise StoreError(f"Run {run.label} is not running: it is {run.status}.")
    if store.database.is_copy and not run.is_live:
        raise StoreError(
            f"Cannot stop run {run.label}: it is {run.status}, and the database cannot be "
            "written.\nTry again."
        )


def stop(store: Store, run_id: str, *, kill: bool = False, by: str = "vld stop --kill") -> Stopped:
    """Have a run save and stop, or dequeue it.

    Its job on a cluster is cancelled if it has no other runs, or with ``kill`` immediately, with
    all its runs. If the run has ended, or Slurm is not installed here, the job is not cancelled
    but considered ended. While the controller does not answer, the job will skip the run.

    Args:
        store: history.
        run_id: the run.
        kill: end its process and job immediately, without a checkpoint.
        by: what kills it, for the record.

    Raises:
        LaunchError: when the run's folder is a copy, or its process belongs to another user or,
            with ``kill``, to another machine.
        SlurmError: when Slurm does not cancel the job, or does not answer with ``kill``.
        StoreError: when it cannot be recorded.
        OSError: when the run's folder cannot be written.
    """
    run = store.runs.get(run_id)
    if run.has_job:
        return _stop_on_cluster(store, run, kill=kill, by=by)
    if run.status == QUEUED:
        try:
            store.queue.remove(run_id)
        except StoreError:
            run = store.runs.get(run_id)
            if run.status == QUEUED:
                raise
        else:
            return Stopped(run, "dequeued")
    # Also when the queue has just started it.
    is_stopped = local.stop(store.runs.run_dir(run_id), kill=kill, by=by)
    return Stopped(run, ("killed" if kill else "asked") if is_stopped else "gone")


def dequeue(store: Store, run_id: str) -> Stopped:
    """Take a run out of the queue, or out of its job on a cluster.

    Raises:
        LaunchError, SlurmError, OSError: see :func:`stop`.
        StoreError: when it is not queued, or that cannot be recorded.
    """
    run = store.runs.get(run_id)
    if run.has_job and run.status == QUEUED:
        return _stop_on_cluster(store, run, kill=False, by="")
    store.queue.remove(run_id)
    return Stopped(run, "dequeued")


def stop_study(store: Store, standing: Standing, *, kill: bool = False) -> StoppedStudy:
    """Stop all runs of a study; see :func:`stop_runs`."""
    return stop_runs(store, standing.known, kill=kill)


def stop_runs(store: Store, runs: Sequence[Run], *, kill: bool = False) -> StoppedStudy:
    """Stop those of the runs that are running or queued; see :func:`stop`. Jobs are cancelled
    together.

    Raises:
        SlurmError: when Slurm does not cancel the jobs.
        StoreError: when it cannot be recorded.
        OSError: when a run's folder cannot be written.
    """
    done = StoppedStudy()
    here: list[Run] = []
    on_cluster: list[Run] = []
    queued = [run for run in runs if run.status == QUEUED]
    live = [run for run in runs if run.is_live]
    resumed_by_job = [
        run for run in runs if run.status in BROKEN_OFF and _may_job_resume(store, run)
    ]
    for run in (*queued, *live, *resumed_by_job):
        if store.runs.run_dir(run.run_id).is_copy:
            done.copies.append(run.run_id)
        else:
            (on_cluster if run.has_job else here).append(run)
    if on_cluster and commands.is_slurm_here():
        done.with_them += _stop_jobs(store, on_cluster, kill=kill, by=_BY_STUDY)
        for run in on_cluster:
            how: How = "dequeued" if not run.is_live else "killed" if kill else "asked"
            done.add(Stopped(run, how))
    else:
        here += on_cluster
    for run in here:
        try:
            done.add(stop(store, run.run_id, kill=kill, by=_BY_STUDY))
        except LaunchError as error:
            done.refusals.append(str(error))
    return done


def _may_job_resume(store: Store, run: Run) -> bool:
    """Return whether an interrupted run will be resumed by its job."""
    is_settled = run.status == "failed" or store.runs.run_dir(run.run_id).read_stop() is not None
    return run.has_job and not is_settled


def _stop_on_cluster(store: Store, run: Run, *, kill: bool, by: str) -> Stopped:
    refuse_copy(store.runs.run_dir(run.run_id))
    is_queued = run.status == QUEUED
    if not (run.is_live or is_queued) or not commands.is_slurm_here():
        return _leave_job(store, run, kill=kill, by=by)
    try:
        mates = _stop_jobs(store, [run], kill=kill, by=by)
    except SlurmAwayError:
        if kill:
            raise
        ask_to_stop(store.runs.run_dir(run.run_id))
        store.jobs.take_out(run.run_id)
        return Stopped(run, "dequeued", leaves_job=True, is_slurm_away=True)
    if kill:
        return Stopped(run, "killed" if run.is_live else "cancelled", mates=tuple(mates))
    return Stopped(run, "dequeued" if is_queued else "asked")


def _leave_job(store: Store, run: Run, *, kill: bool, by: str) -> Stopped:
    """Have a run's job skip it, through its folder alone, and consider the job ended."""
    run_dir = store.runs.run_dir(run.run_id)
    is_killed = kill and run.is_live and local.stop(run_dir, kill=True, by=by)
    ask_to_stop(run_dir)
    store.jobs.close(run.run_id)
    how: How = "released"
    if run.status == QUEUED:
        how = "dequeued"
    elif is_killed:
        how = "killed"
    elif run.is_live and not kill:
        how = "asked"
    return Stopped(run, how, leaves_job=True)


def _stop_jobs(store: Store, runs: Sequence[Run], *, kill: bool, by: str) -> list[str]:
    """Stop runs of a cluster; cancel the jobs that have nothing else to do, or with ``kill`` all.

    Returns:
        The ids of the other runs that were killed with the jobs.

    Raises:
        SlurmAwayError: when jobs cannot be cancelled because the controller is away; nothing was
            done then.
        SlurmError: when Slurm does not cancel them.
    """
    ours = [run.run_id for run in runs]
    jobs = list(dict.fromkeys(run.job for run in runs if run.job is not None))
    live = {run.job for run in runs if run.is_live}
    others = [
        each
        for each in store.jobs.open()
        if each.job.job_id in jobs and each.run_id not in ours and each.status in (QUEUED, *LIVE)
    ]
    busy = live if kill else live | {each.job.job_id for each in others}
    idle = [job for job in jobs if job not in busy]
    if idle or kill:
        commands.require_controller()
    side_by_side(lambda run_id: ask_to_stop(store.home.run_dir(run_id)), ours)
    mates = [each.run_id for each in others] if kill else []
    with _killing(store, [*ours, *mates] if kill else [], by):
        _cancel(idle)
        if kill:
            _cancel([job for job in jobs if job in live], "--signal=KILL")
    for run in runs:
        if run.status == QUEUED:
            store.jobs.take_out(run.run_id)
    return mates


def _cancel(jobs: Sequence[str], *options: str) -> None:
    """Cancel jobs, all at once; ignoring those that have ended."""
    if jobs:
        commands.ask("scancel", "--quiet", *options, *jobs)


@contextlib.contextmanager
def _killing(store: Store, run_ids: Iterable[str], by: str) -> Iterator[None]:
    """Have the folders of runs record that what happens in the block kills them on purpose."""
    noted = []
    for run_id in run_ids:
        run_dir = store.runs.run_dir(run_id)
        process = run_dir.read_process()
        if process is not None and is_alive(run_dir, process):
            with contextlib.suppress(OSError):  # then it is a crash, as of a full disk
                run_dir.record_kill(by)
                noted.append(run_dir)
    try:
        yield
    except SlurmError:
        for run_dir in noted:
            run_dir.killed.unlink(missing_ok=True)
        raise
