"""Stop, hold and submit again runs that were given to a cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence

from engine.rundir.life import is_alive
from vld_tui.launch.local import ask_to_stop, refuse_copy
from vld_tui.launch.local import stop as stop_process
from vld_tui.launch.slurm import commands
from vld_tui.launch.slurm.batches import find_lost_batches
from vld_tui.launch.slurm.commands import SlurmAwayError, SlurmError
from vld_tui.launch.slurm.settings import SlurmSettings, make_settings
from vld_tui.launch.slurm.submit import Cluster, Submission, submit_what_fits
from vld_tui.launch.slurm.watch import look_at_jobs
from vld_tui.runs.run import LIVE, QUEUED, Run
from vld_tui.store.store import Store


def stop(store: Store, run: Run, *, kill: bool = False, by: str = "vld stop --kill") -> str:
    """Have a run save and stop, on whatever node it is, or begin no more if it waits.

    Its job is cancelled when it has no other run to do, or with ``kill``, at once and whole. Of a
    run that is over, or where no Slurm is, the job is left alone and waited for no longer. While
    the controller is away, the job passes the run over when it begins. ``by``: what kills it, for
    the record.

    Returns:
        What became of the run, as the rest of a sentence about it.

    Raises:
        SlurmError: when Slurm does not cancel the job, or is away and ``kill`` is asked.
        StoreError: when it cannot be recorded.
        LaunchError: when the run's folder is a copy of one elsewhere, or it is to be killed
            elsewhere and no Slurm is here.
        OSError: when the run's folder cannot be written.
    """
    run_dir = store.run_dir(run.run_id)
    refuse_copy(run_dir)
    if not (run.is_live or run.status == QUEUED) or not commands.is_slurm_here():
        return _leave_job(store, run, kill=kill, by=by)
    mates = _job_mates(store, run)
    cancels = kill or (run.status == QUEUED and not mates)
    try:
        if cancels:
            commands.require_controller()
    except SlurmAwayError:
        if kill:
            raise
        ask_to_stop(run_dir)
        store.take_out_of_job(run.run_id)
        return f"waits no longer; Slurm's controller is away: {_passed_over(run)}"
    ask_to_stop(run_dir)
    if cancels:
        with killing(store, [run.run_id, *mates] if kill else [], by):
            signal = ["--signal=KILL"] if kill and run.is_live else []
            commands.ask("scancel", *signal, _job(run))
    if run.status == QUEUED:
        store.take_out_of_job(run.run_id)
    if kill:
        with_it = f", and with it {', '.join(mates)}" if mates else ""
        how = "was killed with" if run.is_live else "was cancelled with"
        return f"{how} job {run.job}{with_it}"
    return "waits no longer" if run.status == QUEUED else _asked(run)


@contextlib.contextmanager
def killing(store: Store, run_ids: Iterable[str], by: str) -> Iterator[None]:
    """Have the folders of runs know that what happens in the block kills them on purpose."""
    noted = []
    for run_id in run_ids:
        run_dir = store.run_dir(run_id)
        process = run_dir.read_process()
        if process is not None and is_alive(run_dir, process):
            with contextlib.suppress(OSError):  # then it is a crash, as of a full disk
                run_dir.note_kill(by)
                noted.append(run_dir)
    try:
        yield
    except SlurmError:
        for run_dir in noted:
            run_dir.killed.unlink(missing_ok=True)
        raise


def _leave_job(store: Store, run: Run, *, kill: bool, by: str) -> str:
    """Have a run's job pass it over, through its folder alone, and wait for the job no longer."""
    run_dir = store.run_dir(run.run_id)
    killed = kill and run.is_live and stop_process(run_dir, kill=True, by=by)
    ask_to_stop(run_dir)
    store.close_job(run.run_id)
    if run.status == QUEUED:
        return f"waits no longer; {_passed_over(run)}"
    job = f"job {run.job} itself was not cancelled"
    if killed:
        return f"was killed; {job}"
    if run.is_live and not kill:
        return f"{_asked(run)}; {job}"
    return f"waits for job {run.job} no longer; the job itself was not cancelled"


def _passed_over(run: Run) -> str:
    return f"job {run.job} itself was not cancelled, and will pass it over"


def _asked(run: Run) -> str:
    return f"was asked to stop on {run.host}: it ends after its step"


def _job_mates(store: Store, run: Run) -> list[str]:
    """Return the ids of the other runs of a run's job that are not over."""
    return [
        each.run_id
        for each in store.open_jobs()
        if each.job.job_id == run.job
        and each.run_id != run.run_id
        and each.status in (QUEUED, *LIVE)
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


def as_last_time(last: SlurmSettings | None) -> SlurmSettings:
    """Return what a job asked the last time, or what goes unsaid."""
    return last or SlurmSettings()


def submit_again(
    store: Store,
    runs: Sequence[Run],
    asks: Callable[[SlurmSettings | None], SlurmSettings] = as_last_time,
) -> Submission:
    """Submit runs that are over, those with the same settings together.

    ``asks``: returns what a run's job is to ask of the cluster, from what it asked the last time,
    None where the run never had one.

    Raises:
        SlurmError: when one is finished or not over, or the cluster takes none.
        StoreError: when it cannot be recorded.
        LaunchError: when a run's folder is a copy of one elsewhere.
        OSError: when a run's folder cannot be written.
    """
    find_lost_batches(store)
    together: dict[SlurmSettings, list[str]] = {}
    for run in look_again(store, runs):
        _refuse_unless_over(run)
        together.setdefault(asks(_last_settings(store, run)), []).append(run.run_id)
    clusters = [Cluster(each) for each in together]  # which refuses what makes no sense there
    submission = Submission()
    for cluster, run_ids in zip(clusters, together.values(), strict=True):
        submission += submit_what_fits(store, cluster, run_ids)
    return submission.unless_refused()


def look_again(store: Store, runs: Sequence[Run]) -> list[Run]:
    """Return runs that are to go on as they are now; the cluster is asked of those whose jobs were
    not over.

    Raises:
        LaunchError: when a run's folder is a copy of one elsewhere.
        StoreError: when it cannot be recorded how they are.
    """
    for run in runs:
        refuse_copy(store.run_dir(run.run_id))
    if any(store.get(run.run_id).has_job for run in runs):
        look_at_jobs(store)
    return [store.get(run.run_id) for run in runs]


def refuse_open_job(run: Run) -> None:
    """Refuse to go on with a run that a job may begin again.

    Raises:
        SlurmError: when its job is not over.
    """
    if run.has_job:
        first = f"First: vld stop {run.run_id}"
        if not (run.is_live or run.status == QUEUED):  # it ends, or does its other runs
            first = f"Try again in a moment, or have the job leave it: vld stop {run.run_id}"
        raise SlurmError(
            f"Run {run.run_id} is {run.status}, and its job {run.job} is not over.\n{first}"
        )


def _refuse_unless_over(run: Run) -> None:
    if run.status == "finished":
        raise SlurmError(f"Run {run.run_id} is finished: there is nothing to go on with.")
    refuse_open_job(run)
    if run.is_live or run.status == QUEUED:
        raise SlurmError(f"Run {run.run_id} is {run.status}.")


def _last_settings(store: Store, run: Run) -> SlurmSettings | None:
    """Return what the run's job asked of the cluster the last time; None: it never had one."""
    job_info = store.run_dir(run.run_id).read_job()
    return make_settings(dict(job_info.settings)) if job_info else None


def _job(run: Run) -> str:
    if run.job is None or not run.has_job:
        raise SlurmError(f"Run {run.run_id} has no job that waits or runs.")
    return run.job
