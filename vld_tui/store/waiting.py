"""Runs of an open history that wait, here or on a cluster, and are begun."""

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
    """A history that is told which runs wait for what, and when they are begun."""

    def queue(self) -> list[Run]:
        """Return the runs that wait for a slot of this machine, in order."""
        where = "status = 'queued' AND job_open = 0 AND trashed_at IS NULL"
        return read_runs(self._database, where, order="queue_position")

    def enqueue(self, run_id: str) -> None:
        """Let a run that is over wait for a slot, to go on.

        Raises:
            StoreError: when it is finished, still runs, waits already, or is in the trash.
        """
        run = self.get(run_id)
        if run.trashed_at is not None:
            raise StoreError(f"Run {run_id} is in the trash. First: vld restore {run_id}")
        if self.run_dir(run_id).is_copy:
            raise StoreError(f"Run {run_id} is a copy of one elsewhere: it goes on there.")
        if run.status == DAMAGED:
            raise StoreError(f"Run {run_id} is damaged: {run.error}")
        if run.is_live or run.status in ("finished", QUEUED) or run.has_job:
            with_job = f", and the cluster's job {run.job} is not over" if run.has_job else ""
            raise StoreError(f"Run {run_id} is {run.status}{with_job}.")
        with self._database.write() as connection:
            found = find_by_id(self._database, run_id)
            if self._run(found.key).status != run.status:
                raise StoreError(f"Run {run_id} is no longer {run.status}: try again.")
            queue.enqueue(connection, found.key)

    def take_out(self, run_id: str) -> None:
        """Take a run out of the queue.

        Raises:
            StoreError: when it does not wait.
        """
        queue.take_out(self._database, find_by_id(self._database, run_id))

    def hold(self, run_id: str, *, is_held: bool = True) -> None:
        """Let the queue pass a run over, or no longer.

        Raises:
            StoreError: when it does not wait.
        """
        queue.hold(self._database, find_by_id(self._database, run_id), is_held=is_held)

    def move_in_queue(self, run_id: str, places: int) -> None:
        """Let a run change places with the next one that waits (1), or the one before (−1).

        Raises:
            StoreError: when it does not wait.
        """
        queue.move(self._database, find_by_id(self._database, run_id), places)

    def mark_relaunched(self, run_id: str, *, gpu: str | None = None) -> Run:
        """Make a run that was over, or waited, ``starting``.

        Call it when a process is launched on its folder, just before or just after. ``gpu`` is
        the one it was given.
        """
        found = find_by_id(self._database, run_id)
        if found.is_trashed:
            raise StoreError(f"Run {run_id} is in the trash. First: vld restore {run_id}")
        ingest.mark_relaunched(self._database, found.key, found.run_dir(self.home), gpu)
        return self._run(found.key)

    def mark_unlaunched(self, run_id: str, why: str) -> None:
        """Record that no process could be started on a run that waited."""
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
        """Record that a run's job passes it over: it is ``stopped`` unless it runs."""
        jobs.take_out(self._database, find_by_id(self._database, run_id))

    def close_job(self, run_id: str) -> None:
        """Take it that a run's job is over: nobody can be asked."""
        jobs.close(self._database, find_by_id(self._database, run_id))

    def open_jobs(self) -> list[OpenJob]:
        """Return the runs whose jobs are not known to be over."""
        return jobs.open_jobs(self._database)

    def runs_with_jobs(self) -> list[Run]:
        """Return the runs that jobs of a cluster work on or will, the oldest first."""
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
