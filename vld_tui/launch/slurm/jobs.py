"""Records of submitted job arrays (batches), and the state of their jobs in the history.

A record (``jobs/BATCH/batch.json``) is written before Slurm is called. The jobs have the batch's
name, so an interrupted submission can be found again. The scheduler is queried once for all jobs,
and rarely: the controller is shared by all users.
"""

from __future__ import annotations

import contextlib
import pickle
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.protocol.extras import install_command
from engine.rundir import JobInfo, read_plain, write_atomic
from vld_tui.home import Home, HomeError
from vld_tui.launch.slurm import commands
from vld_tui.launch.slurm.commands import SlurmError, minutes_of
from vld_tui.launch.slurm.pack import Pack
from vld_tui.launch.slurm.settings import make_settings
from vld_tui.runs.run import FORGOTTEN, LIVE, Job
from vld_tui.store.jobs import OpenJob
from vld_tui.store.store import Store

BATCH_FILE: Final = "batch.json"
EVER: Final = 10**6
"""Jobs are requeued whenever they reach their time limit."""
YEAR_MIN: Final = 365 * 24 * 60
_FOLDER_MODE: Final = 0o755
"""Mode of a batch's folder before the umask: jobs run its contents, so only the owner writes."""
_LOST_AFTER_S: Final = 7 * 86_400.0
"""Age after which an unfinished submission is no longer looked up."""
JOBS_POLL_S: Final = 15.0
"""How often the scheduler is queried while a dashboard is open."""


class Batch(msgspec.Struct, frozen=True):
    """One job array: the runs of each job, and the array's id once the history has it.

    ``time`` is when the record was written, in Unix seconds.
    """

    name: str
    time: float
    runs: tuple[tuple[str, ...], ...]
    settings: dict[str, Any]
    job_id: str | None = None

    def packs(self, home: Home) -> list[Pack]:
        """Return the work of each job.

        Raises:
            HomeError: when a run's id cannot name a folder.
            SlurmError: when the settings are invalid.
        """
        at_once = make_settings(self.settings).runs_per_gpu
        return [Pack([str(home.run_dir(run).path) for run in runs], at_once) for runs in self.runs]

    def write(self, folder: Path) -> None:
        """Write the record.

        Raises:
            OSError: when it cannot be written.
        """
        write_atomic(folder / BATCH_FILE, msgspec.json.encode(self))

    def job_of(self, index: int, folder: Path) -> JobInfo:
        """Return the job of the array task with this index."""
        job_id = self.job_id or ""
        if len(self.runs) > 1:
            job_id = f"{job_id}_{index}"
        return JobInfo(job_id, self.time, str(folder / f"{job_id}_0_log.out"), self.settings)


def record_batch(store: Store, batch: Batch, folder: Path, *, is_found: bool = False) -> None:
    """Record each run's job in the history and the run folders, and mark the batch as done.

    ``is_found``: an earlier submission that may already be partly recorded.

    Raises:
        StoreError: when it cannot be recorded.
    """
    store.jobs.mark_submitted(
        {run: batch.job_of(index, folder) for index, runs in enumerate(batch.runs) for run in runs},
        is_found=is_found,
    )
    with contextlib.suppress(OSError):  # retried next time
        batch.write(folder)


def make_batch_folder(home: Home, batch: Batch) -> Path:
    """Create the folder of a batch with its record, and return it.

    Raises:
        OSError: when it cannot be written.
    """
    home.jobs.mkdir(parents=True, exist_ok=True)
    folder = home.jobs / batch.name
    folder.mkdir(mode=_FOLDER_MODE)
    batch.write(folder)
    return folder


def find_lost_batches(store: Store) -> None:
    """Record submissions of processes that died before recording them.

    Raises:
        SlurmError: when Slurm does not answer, or the jobs' work cannot be written.
        StoreError: when it cannot be recorded.
    """
    lost = list(_unfinished(store.home))
    if not lost:
        return
    arrays = commands.arrays_by_name()
    for path, batch in lost:
        if batch.name in arrays:
            found = msgspec.structs.replace(batch, job_id=arrays[batch.name])
            _hand_over(found, store.home, path.parent)
            record_batch(store, found, path.parent, is_found=True)


def require_submitit() -> None:
    """Check that submitit is installed.

    Raises:
        SlurmError: when it is not.
    """
    try:
        import submitit  # noqa: F401 - many do without a cluster
    except ImportError:
        raise SlurmError(
            "Submitting to Slurm needs the package submitit, which is not installed.\n"
            f"Install it with: {install_command('slurm')}"
        ) from None


def _hand_over(batch: Batch, home: Home, folder: Path) -> None:
    """Write each job's work to the file that it reads, as submitit would have.

    submitit writes the file under a random name and renames it once Slurm reports the job's id.
    The file is a pickle of unknown origin, so it is never read but written again.

    Raises:
        SlurmError: when submitit is not installed, or the folder cannot be written.
    """
    missing = {
        path: pack
        for index, pack in enumerate(batch.packs(home))
        if not (path := folder / f"{batch.job_of(index, folder).job_id}_submitted.pkl").exists()
    }
    if not missing:
        return
    require_submitit()
    from submitit.core.utils import DelayedSubmission

    time_limit = make_settings(batch.settings).time
    try:
        for path, pack in missing.items():
            task = DelayedSubmission(pack)
            task.set_timeout(minutes_of(time_limit or "") or YEAR_MIN, EVER)
            write_atomic(path, pickle.dumps(task))
    except OSError as error:
        raise SlurmError(f"Cannot write to {folder}: {error.strerror}.") from None


def has_lost_batches(home: Home) -> bool:
    """Return whether a submission exists that Slurm may or may not have accepted."""
    return bool(_unfinished(home))


def _unfinished(home: Home) -> Sequence[tuple[Path, Batch]]:
    """Return the batches of this home's submissions that have no job."""
    found = []
    for path in home.jobs.glob(f"*/{BATCH_FILE}"):
        with contextlib.suppress(OSError, msgspec.DecodeError, HomeError, SlurmError):
            if time.time() - path.stat().st_mtime > _LOST_AFTER_S:
                continue
            batch = msgspec.json.decode(read_plain(path), type=Batch)
            if batch.job_id is None and batch.packs(home):
                found.append((path, batch))
    return found


def look_at_jobs(store: Store) -> str | None:
    """Query and record the state of unfinished jobs; return why that failed, if it did.

    Raises:
        StoreError: when the state cannot be recorded.
    """
    if store.database.is_read_only:
        return None
    if not (any(_own_jobs(store)) or has_lost_batches(store.home)):
        return None
    if not commands.is_slurm_here():
        return "Slurm is not installed on this machine"
    try:
        commands.require_controller()
        find_lost_batches(store)
        known = list(_own_jobs(store))
        jobs = commands.list_jobs()
        gone = [each for each in known if each.job.job_id not in jobs]
        jobs |= _ends_of(gone)
        jobs |= commands.ended_jobs(_failed_early(known, jobs))
    except SlurmError as error:
        return str(error)
    for each in known:
        job = jobs[each.job.job_id]
        if job.is_over or job != each.job or each.status not in ("queued", *LIVE):
            store.jobs.note(each, job)
    return None


def _own_jobs(store: Store) -> Iterator[OpenJob]:
    """Yield the runs with jobs that are not known to have ended, except read-only copies."""
    return (each for each in store.jobs.open() if not store.runs.run_dir(each.run_id).is_copy)


def _ends_of(gone: list[OpenJob]) -> dict[str, Job]:
    """Return how jobs ended that are neither pending nor running."""
    told = commands.ended_jobs([each.job.job_id for each in gone]) if gone else {}
    ends = {}
    for each in gone:
        job = told.get(each.job.job_id)
        ends[each.job.job_id] = job or each.job._replace(state=FORGOTTEN, reason="")
    return ends


def _failed_early(known: Sequence[OpenJob], jobs: Mapping[str, Job]) -> list[str]:
    """Return the ids of failed jobs with runs that did not start, to be queried further."""
    waiting = {each.job.job_id for each in known if each.status == "queued"}
    return sorted(job_id for job_id in waiting if jobs[job_id].state == "FAILED")


class JobWatch:
    """Polls the jobs in a thread at a limited rate, since a busy controller may be slow."""

    def __init__(self, home: Home, interval_s: float = JOBS_POLL_S) -> None:
        self._home, self._interval_s = home, interval_s
        self._looked_at = -interval_s
        self._thread: threading.Thread | None = None
        self._problem: str | None = None

    def look(self) -> str | None:
        """Poll the jobs unless that was done recently; return the last problem."""
        now = time.monotonic()
        is_looking = self._thread is not None and self._thread.is_alive()
        if not is_looking and now - self._looked_at >= self._interval_s:
            self._looked_at = now
            self._thread = threading.Thread(target=self._look, name="jobs", daemon=True)
            self._thread.start()
        return self._problem

    def _look(self) -> None:
        try:
            with Store.open(self._home) as store:
                self._problem = look_at_jobs(store)
        except Exception as error:  # noqa: BLE001 - the edge of the thread: always reported
            self._problem = str(error)
