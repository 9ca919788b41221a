"""Runs on a cluster and the states of their jobs."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from engine.rundir import JobInfo, RunDir
from engine.rundir.life import last_lines, with_log
from vld_tui.home import Home
from vld_tui.runs.run import FORGOTTEN, LIVE, QUEUED, Job, Run
from vld_tui.store.database import Database
from vld_tui.store.errors import StoreError
from vld_tui.store.ingest import refresh_run
from vld_tui.store.lookup import find_by_id
from vld_tui.store.notifications import note_end
from vld_tui.store.rows import read_runs
from vld_tui.store.side_by_side import side_by_side

UNKNOWN: Final = "UNKNOWN"
"""State of a job that has not been queried yet."""
_RESUMABLE: Final = ("stopped", "crashed")
_NOT_STARTED: Final = ("starting", "crashed")
"""Statuses of a run without a process, according to its folder alone."""


class OpenJob(NamedTuple):
    """A run whose job is not known to have ended."""

    key: int
    run_id: str
    status: str
    job: Job


class Jobs:
    """The cluster jobs of the runs of an open history."""

    def __init__(self, database: Database, home: Home) -> None:
        self._database, self._home = database, home

    def open(self) -> list[OpenJob]:
        """Return the runs whose jobs are not known to have ended."""
        rows = self._database.rows(
            "SELECT key, run_id, status, job, job_state, coalesce(job_reason, ''), "
            "coalesce(job_node, '') FROM runs INDEXED BY open_jobs WHERE job_open = 1"
        )
        return [OpenJob(key, run_id, status, Job(*job)) for key, run_id, status, *job in rows]

    def runs(self) -> list[Run]:
        """Return the runs with pending or running cluster jobs, oldest first."""
        open_ = (
            "SELECT key FROM runs INDEXED BY open_jobs WHERE job_open = 1 "
            "AND status NOT IN ('finished', 'failed')"
        )
        return read_runs(self._database, f"key IN ({open_}) AND trashed_at IS NULL")

    def mark_submitted(self, given: Mapping[str, JobInfo], *, is_found: bool = False) -> None:
        """Record the jobs of runs, by run id: the runs are queued until their jobs start.

        ``is_found``: an earlier submission, so jobs may have started and runs may have been
        deleted.

        Raises:
            StoreError: when it cannot be recorded.
        """

        def write(run_id: str) -> None:
            self._home.run_dir(run_id).write_job(given[run_id])

        runs = [run for run in given if not is_found or self._home.run_dir(run).spec.exists()]
        try:
            side_by_side(write, runs)
        except OSError as error:
            raise StoreError(
                f"Cannot write to {error.filename or self._home.runs}: {error}."
            ) from None
        with self._database.write() as connection:
            if is_found:
                for run in runs:
                    row = connection.execute(
                        "SELECT key FROM runs WHERE run_id = ? AND trashed_at IS NULL "
                        "AND job IS NOT ?",
                        [run, given[run].job_id],
                    ).fetchone()
                    if row is not None:
                        read_job(connection, row[0], self._home.run_dir(run))
                return
            connection.executemany(
                "UPDATE runs SET status = 'queued', queue_position = NULL, queue_held = 0, "
                "gpu = NULL, error = NULL, exit_code = NULL, job = ?, job_state = 'PENDING', "
                "job_reason = NULL, job_node = NULL, job_open = 1 WHERE run_id = ?",
                [(given[run].job_id, run) for run in runs],
            )

    def take_out(self, run_id: str) -> None:
        """Record that a run's job skips it: it becomes ``stopped`` unless it is running."""
        found = find_by_id(self._database, run_id)
        with self._database.write() as connection:
            connection.execute(
                "UPDATE runs SET status = 'stopped', queue_held = 0 "
                "WHERE key = ? AND status = 'queued' AND job_open = 1",
                [found.key],
            )

    def close(self, run_id: str) -> None:
        """Record that a run's job has ended, without querying the cluster; a run queued for it
        becomes ``stopped``."""
        found = find_by_id(self._database, run_id)
        with self._database.write() as connection:
            connection.execute(
                "UPDATE runs SET job_open = 0, job_state = ?, job_reason = NULL, queue_held = 0, "
                "status = iif(status = 'queued', 'stopped', status) WHERE key = ? AND job_open = 1",
                [UNKNOWN, found.key],
            )

    def note(self, known: OpenJob, job: Job) -> None:
        """Record the state of a run's job, and its consequences for the run.

        A requeued job will resume an interrupted run. A job that ended before its run started, or
        that interrupted it, gives the reason.

        Raises:
            StoreError: when it cannot be recorded.
        """
        run_dir = self._home.run_dir(known.run_id)
        if not job.waits:
            refresh_run(self._database, known.key, run_dir)
        with self._database.write() as connection:
            row = connection.execute(
                "SELECT status, error, job FROM runs WHERE key = ?", [known.key]
            ).fetchone()
            if row is None or row[2] != job.job_id:  # deleted, or submitted as another job
                return
            status, error, _ = row
            if job.is_over:
                if status == QUEUED:
                    _record_end(job, run_dir)
                status, error = _after(job, status, error, run_dir)
            elif job.waits and status in _RESUMABLE and run_dir.read_stop() is None:
                status, error = QUEUED, None
            connection.execute(
                "UPDATE runs SET status = ?, error = ?, job_state = ?, job_reason = ?, "
                "job_node = ?, queue_held = ?, job_open = ? WHERE key = ?",
                [
                    status, error, job.state, job.reason or None, job.node or None,
                    int(job.is_held), int(not job.is_over or status in LIVE), known.key,
                ],
            )  # fmt: skip
            if status != row[0]:
                launch = job.job_id if row[0] == QUEUED else None
                note_end(connection, known.key, launch=launch)


def read_job(connection: sqlite3.Connection, key: int, run_dir: RunDir) -> None:
    """Record the job in a run's folder, inside the transaction; see :meth:`Jobs.note`.

    A job that has not been queried counts as open; that of a copy, only while the run may resume,
    since it is never queried.
    """
    info = run_dir.read_job()
    if info is None:
        return
    status, error, attempts = connection.execute(
        "SELECT status, error, attempts FROM runs WHERE key = ?", [key]
    ).fetchone()
    if attempts == 0 and status in _NOT_STARTED:
        status, error = QUEUED, None
        if info.end is not None:
            status, error = _after(Job(info.job_id, info.end), status, error, run_dir)
        elif run_dir.read_stop() is not None:
            status = "stopped"
    is_open = info.end is None and (status in (QUEUED, *LIVE) or not run_dir.is_copy)
    connection.execute(
        "UPDATE runs SET status = ?, error = ?, job = ?, job_state = ?, job_open = ? WHERE key = ?",
        [status, error, info.job_id, info.end or UNKNOWN, int(is_open), key],
    )


def _record_end(job: Job, run_dir: RunDir) -> None:
    """Record in the run's folder that its job has ended, which no process of the run can do."""
    info = run_dir.read_job()
    if info is not None and info.job_id == job.job_id:
        with contextlib.suppress(OSError):  # the history has it
            run_dir.write_job(msgspec.structs.replace(info, end=job.state))


def _after(job: Job, status: str, error: str | None, run_dir: RunDir) -> tuple[str, str | None]:
    """Return status and error of a run whose job has ended."""
    if status == QUEUED:
        if job.state == "CANCELLED" or run_dir.read_stop() is not None:
            return "stopped", None
        return "crashed", _never_started(job, run_dir)
    is_explained = job.state == "COMPLETED" or error is None or job.job_id in error
    if status == "crashed" and error is not None and not is_explained:
        first, _, rest = error.partition("\n")
        return status, "\n".join(filter(None, (f"{first}; {job.end_in_words()}", rest)))
    return status, error


def _never_started(job: Job, run_dir: RunDir) -> str:
    """Return why no process started the run, according to the logs."""
    cause = f"no process started the run: {job.end_in_words()}"
    explained = with_log(cause, run_dir)
    info = run_dir.read_job()
    if explained != cause or info is None:
        return explained
    if Path(info.log).is_file():  # so the home was accessible
        seen = f"{cause}. It ended before the run started; see {info.log}"
        return "\n".join(filter(None, (seen, last_lines(Path(info.log)))))
    if job.state not in ("FAILED", FORGOTTEN):
        return cause
    home = run_dir.path.parent.parent
    asked = f"is {home} accessible from the nodes?"
    if job.state == FORGOTTEN:
        asked = f"was it cancelled while pending, or is {home} not accessible from the nodes?"
    return f"{cause}. It wrote no log: {asked}"
