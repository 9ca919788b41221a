"""Update the history with the state of the runs' jobs.

The scheduler is queried once for all jobs, and rarely: the controller is shared by all users.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from vld_tui.home import Home
from vld_tui.launch.slurm import commands
from vld_tui.launch.slurm.batches import find_lost_batches, has_lost_batches
from vld_tui.launch.slurm.commands import SlurmError
from vld_tui.runs.run import FORGOTTEN, LIVE, Job
from vld_tui.store.jobs import OpenJob
from vld_tui.store.store import Store

INTERVAL_S: Final = 15.0
"""How often the scheduler is queried while a dashboard is open."""


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

    def __init__(self, home: Home) -> None:
        self._home = home
        self._looked_at = -INTERVAL_S
        self._thread: threading.Thread | None = None
        self._problem: str | None = None

    def look(self) -> str | None:
        """Poll the jobs unless that was done recently; return the last problem."""
        now = time.monotonic()
        is_looking = self._thread is not None and self._thread.is_alive()
        if not is_looking and now - self._looked_at >= INTERVAL_S:
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
