"""The cluster jobs of runs as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vld_tui.runs.run import QUEUED, Run

if TYPE_CHECKING:
    from vld_tui.control.stop import Stopped

_OVER: Final = "over"
_AS_WAS: Final = ("", "forgotten", "pending", "running")
"""Last known states that a job which is over may have had."""

_NEVER: Final = "will never start: it requests "
_REASONS: Final = {
    "PartitionTimeLimit": f"{_NEVER}more time than its partition allows",
    "PartitionNodeLimit": f"{_NEVER}more or fewer nodes than its partition allows",
    "PartitionConfig": f"{_NEVER}a configuration its partition does not have",
    "BadConstraints": f"{_NEVER}resources that no node has",
    "QOSMaxWallDurationPerJobLimit": f"{_NEVER}more time than its quality of service allows",
    "AssocMaxWallDurationPerJobLimit": f"{_NEVER}more time than its account allows",
    "InvalidAccount": "will never start: its account is not allowed here",
    "InvalidQOS": "will never start: its account lacks this quality of service",
    "DependencyNeverSatisfied": "will never start: its dependency failed",
    "PartitionDown": "its partition is not starting jobs",
    "PartitionInactive": "its partition is not starting jobs",
    "ReqNodeNotAvail": "the requested nodes are down or reserved",
    "Nodes required for job are DOWN": "the required nodes are down, drained or reserved",
}
"""Prefixes of pending reasons that do not resolve automatically or soon, and their meaning."""


def reason_in_words(run: Run) -> str | None:
    """Return why a run's job will not start automatically or soon, or None."""
    if run.has_job and run.status == QUEUED and run.job_reason:
        for beginning, words in _REASONS.items():
            if run.job_reason.startswith(beginning):
                return words
    return None


def job_text(run: Run) -> str:
    """Return the id of a run's job, and its state by the scheduler.

    Queued runs include the reason why the job is pending.
    """
    state = (run.job_state or "").lower().replace("_", " ")
    waits = run.has_job and run.status == QUEUED
    ended = not run.has_job and state not in (*_AS_WAS, "cancelled", "unknown")
    why = run.job_reason if waits or ended else None
    if not run.has_job and state in _AS_WAS:
        state = _OVER
    elif not run.has_job and state == "unknown":
        state = "detached"
    return " · ".join(filter(None, (str(run.job), f"{state} ({why})" if why else state)))


def stopped_text(done: Stopped) -> str:
    """Return the result of stopping a run, as a predicate."""
    run = done.run
    left = f"; job {run.job} was not cancelled" if done.leaves_job else ""
    match done.how:
        case "dequeued":
            away = "; Slurm's controller does not answer" if done.is_slurm_away else ""
            return f"was removed from the queue{away}{left}{left and ', and will skip the run'}"
        case "asked":
            where = f" on {run.host}" if run.has_job else ""
            return f"is stopping{where} after the current step{left}"
        case "killed" | "cancelled":
            with_job = f" with job {run.job}" if run.has_job and not left else ""
            mates = f", and so were {', '.join(done.mates)}" if done.mates else ""
            return f"was {done.how}{with_job}{mates}{left}"
        case "released":
            return f"was detached from job {run.job}; the job was not cancelled"
        case "gone":
            return "has no process here to stop"
