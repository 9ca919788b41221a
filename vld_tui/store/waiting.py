"""Queue and start runs of an open history, here or on a cluster."""

from __future__ import annotations

from collections.abc import Mapping

from engine.rundir import JobInfo
from vld_tui.runs.job import Job
from vld_tui.runs.run import DAMAGED, QUEUED, Run
from vld_tui.store import ingest, jobs, queue
from vld_tui.store.errors import StoreError
from vld_tui.store.jobs import OpenJob
from vld_tui.store.lookup import find_by_id
from vld_tui.store.run_lists import RunLists
from vld_tui.store.runs import read_runs


class WaitingRuns(RunLists):
    """The queue operations of an open history."""

    def queue(self) -> list[Run]:
        """Return this machine's queued runs in order."""
        where = "status = 'queued' AND job_open = 0 AND trashed_at IS NULL"
        return read_runs(self._database, where, order="queue_position")

    def enqueue(self, run_id: str) -> None:
        """Queue an interrupted run to be resumed.

        Raises:
            StoreError: when it has finished, is running, already queued, or in the trash.
        """
        run = self.get(run_id)
        if run.trashed_at is not None:
            raise StoreError(
                f"Run {run_id} is in the trash. Restore it first: vld restore {run_id}"
            )
        if self.run_dir(run_id).is_copy:
            raise StoreError(
                f"Run {run_id} is a read-only copy of a run on another machine; resume it there."
            )
        if run.status == DAMAGED:
            raise StoreError(f"Run {run_id} is damaged: {run.error}")
        if run.is_live or run.status in ("finished", QUEUED) or run.has_job:
            with_job = f", and its job {run.job} has not ended" if run.has_job else ""
            raise StoreError(f"Run {run_id} is {run.status}{with_job}.")
        with self._database.write() as connection:
            found = find_by_id(self._database, run_id)
            if self._run(found.key).status != run.status:
                raise StoreError(f"Run {run_id} is no longer {run.status}. Try again.")
            queue.enqueue(connection, found.key)

    def take_out(self, run_id: str) -> None:
        """Remove a run from the queue.

        Raises:
            StoreError: when it is not queued.
        """
        queue.take_out(self._database, find_by_id(self._database, run_id))

    def hold(self, run_id: str, *, is_held: bool = True) -> None:
        """Hold or release a queued run.

        Raises:
            StoreError: when it is not queued.
        """
        queue.hold(self._database, find_by_id(self._database, run_id), is_held=is_held)

    def move_in_queue(self, run_id: str, places: int) -> None:
        """Swap a queued run with the next one (1) or the previous one (−1).

        Raises:
            StoreError: when it is not queued.
        """
        queue.move(self._database, find_by_id(self._database, run_id), places)

    def mark_relaunched(self, run_id: str, *, gpu: str | None = None) -> Run:
        """Set an ended or queued run to ``starting``.

        Call it when a process is launched on its folder, just before or just after. ``gpu`` is
        the one it was given.
        """
        found = find_by_id(self._database, run_id)
        if found.is_trashed:
            raise StoreError(
                f"Run {run_id} is in the trash. Restore it first: vld restore {run_id}"
            )
        ingest.mark_relaunched(self._database, found.key, found.run_dir(self.home), gpu)
        return self._run(found.key)

    def mark_unlaunched(self, run_id: str, why: str) -> None:
        """Record that a queued run could not be started."""
        found = find_by_id(self._database, run_id)
        with self._database.write() as connection:
            connection.execute(
                "UPDATE runs SET status = 'failed', error = ?, queue_position = NULL "
                "WHERE key = ? AND status = 'queued'",
                [why, found.key],
            )

    def mark_submitted(self, given: Mapping[str, JobInfo], *, is_found: bool = False) -> None:
        """Record that runs, by their ids, were given to a cluster's jobs; ``is_found``: a while
        ago.

        Raises:
            StoreError: when it cannot be recorded.
        """
        jobs.mark_submitted(self._database, self.home, given, is_found=is_found)

    def take_out_of_job(self, run_id: str) -> None:
        """Record that a run's job skips it: it becomes ``stopped`` unless it is running."""
        jobs.take_out(self._database, find_by_id(self._database, run_id))

    def close_job(self, run_id: str) -> None:
        """Record that a run's job has ended, without querying the cluster."""
        jobs.close(self._database, find_by_id(self._database, run_id))

    def open_jobs(self) -> list[OpenJob]:
        """Return the runs whose jobs are not known to have ended."""
        return jobs.open_jobs(self._database)

    def runs_with_jobs(self) -> list[Run]:
        """Return the runs with pending or running cluster jobs, oldest first."""
        open_ = (
            "SELECT key FROM runs INDEXED BY open_jobs WHERE job_open = 1 "
            "AND status NOT IN ('finished', 'failed')"
        )
        return read_runs(self._database, f"key IN ({open_}) AND trashed_at IS NULL")

    def note_job(self, known: OpenJob, job: Job) -> None:
        """Record where the job of a run stands, and what follows for the run.

        Raises:
            StoreError: when it cannot be recorded.
        """
        jobs.note(self._database, self.home, known, job)
