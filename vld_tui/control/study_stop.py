"""Stop all that runs or waits of a study, wherever it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from vld_tui.launch.local import LaunchError, ask_to_stop
from vld_tui.launch.local import stop as stop_process
from vld_tui.launch.slurm import commands, control
from vld_tui.runs.run import LIVE, QUEUED, Run
from vld_tui.store.errors import StoreError
from vld_tui.store.side_by_side import side_by_side
from vld_tui.store.store import Store
from vld_tui.study.standing import Standing

_BY: Final = "vld sweep stop --kill"


@dataclass
class StoppedStudy:
    """What became of a study's runs, by id: those that wait no longer, that were asked to stop or
    killed, that are copies of runs elsewhere, those of others that were killed with their jobs,
    and why runs could not be stopped."""

    taken_out: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    killed: list[str] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)
    with_them: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def add(self, run: Run, *, kill: bool) -> None:
        """Note that a run was stopped."""
        of_live = self.killed if kill else self.asked
        (of_live if run.is_live else self.taken_out).append(run.run_id)


def stop_study(store: Store, standing: Standing, *, kill: bool = False) -> StoppedStudy:
    """Have what runs of a study save and stop, and what waits begin no more; see
    :func:`vld_tui.launch.slurm.control.stop`.

    ``kill``: what runs is ended at once, and jobs whole.

    Raises:
        SlurmError: when Slurm does not cancel the jobs.
        StoreError: when it cannot be recorded.
        OSError: when a run's folder cannot be written.
    """
    done = StoppedStudy()
    here: list[Run] = []
    on_cluster: list[Run] = []
    begun_again = [run for run in standing.broken_off if _is_begun_again(store, run)]
    for run in (*standing.queued, *standing.live, *begun_again):
        if store.run_dir(run.run_id).is_copy:
            done.copies.append(run.run_id)
        else:
            (on_cluster if run.has_job else here).append(run)
    if on_cluster and commands.is_slurm_here():
        _stop_jobs(store, on_cluster, done, kill=kill)
    else:
        here += on_cluster
    for run in here:
        try:
            _stop_one(store, run, done, kill=kill)
        except LaunchError as error:
            done.refusals.append(str(error))
    return done


def _stop_jobs(store: Store, runs: Sequence[Run], done: StoppedStudy, *, kill: bool) -> None:
    """Stop runs of a cluster; jobs are cancelled that have nothing else to do, or with ``kill``."""
    commands.require_controller()
    ours = {run.run_id for run in runs}
    jobs = {run.job: None for run in runs}
    live = {run.job for run in runs if run.is_live}
    others = [
        each
        for each in store.open_jobs()
        if each.job.job_id in jobs and each.run_id not in ours and each.status in (QUEUED, *LIVE)
    ]
    spared = set() if kill else live | {each.job.job_id for each in others}
    side_by_side(
        lambda run: ask_to_stop(store.home.run_dir(run)),
        [run.run_id for run in runs],
    )
    _cancel(job for job in jobs if job not in spared | live)
    if kill:
        done.with_them += [each.run_id for each in others]
        with control.killing(store, [*ours, *done.with_them], _BY):
            _cancel((job for job in jobs if job in live), "--signal=KILL")
    for run in runs:
        if run.status == QUEUED:
            store.take_out_of_job(run.run_id)
        done.add(run, kill=kill)


def _is_begun_again(store: Store, run: Run) -> bool:
    """Say whether a run that was broken off goes on with its job."""
    is_settled = run.status == "failed" or store.run_dir(run.run_id).read_stop() is not None
    return run.has_job and not is_settled


def _cancel(jobs: Iterable[str | None], *options: str) -> None:
    """Cancel jobs, all at once; one that is over by now is no matter."""
    if named := [job for job in jobs if job is not None]:
        commands.ask("scancel", "--quiet", *options, *named)


def _stop_one(store: Store, run: Run, done: StoppedStudy, *, kill: bool) -> None:
    """Stop a run of this machine, or of a cluster that cannot be asked from here."""
    run = store.get(run.run_id)  # as it is by now
    if run.has_job:
        control.stop(store, run, kill=kill, by=_BY)
        done.add(run, kill=kill)
        return
    if run.status == QUEUED:
        try:
            store.take_out(run.run_id)
        except StoreError:  # the queue has just begun it
            run = store.get(run.run_id)
            if not run.is_live:
                return
    if not run.is_live or stop_process(store.run_dir(run.run_id), kill=kill, by=_BY):
        done.add(run, kill=kill)
