"""A run's job on a cluster, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vld_tui.runs.run import QUEUED, Run

if TYPE_CHECKING:
    from vld_tui.control.stop import Stopped

_OVER: Final = "over"
_AS_WAS: Final = ("", "forgotten", "pending", "running")
"""What a job that is over may have been when it was last asked about."""

_NEVER: Final = "never starts: it asks for "
_REASONS: Final = {
    "PartitionTimeLimit": f"{_NEVER}more time than its partition gives",
    "PartitionNodeLimit": f"{_NEVER}more machines than its partition gives, or fewer",
    "PartitionConfig": f"{_NEVER}what its partition does not give",
    "BadConstraints": f"{_NEVER}what no machine has",
    "QOSMaxWallDurationPerJobLimit": f"{_NEVER}more time than its quality of service gives",
    "AssocMaxWallDurationPerJobLimit": f"{_NEVER}more time than its account gives",
    "InvalidAccount": "never starts: its account may not be charged here",
    "InvalidQOS": "never starts: there is no such quality of service for its account",
    "DependencyNeverSatisfied": "never starts: what it waits for did not come about",
    "PartitionDown": "its partition starts no jobs at present",
    "PartitionInactive": "its partition starts no jobs at present",
    "ReqNodeNotAvail": "the machines it asks for are down or reserved",
    "Nodes required for job are DOWN": "the machines it needs are down, drained or reserved",
}
"""How reasons to wait begin that do not pass by themselves, or not soon, and what they mean."""


def reason_in_words(run: Run) -> str | None:
    """Say why a run's job does not start by itself, or not soon; None: it does, or has."""
    if run.has_job and run.status == QUEUED and run.job_reason:
        for beginning, words in _REASONS.items():
            if run.job_reason.startswith(beginning):
                return words
    return None


def job_text(run: Run) -> str:
    """Return the id of the job that a run was given to, and where it stands by the scheduler.

    Why a job waits is told of a run that waits for it.
    """
    state = (run.job_state or "").lower().replace("_", " ")
    waits = run.has_job and run.status == QUEUED
    ended = not run.has_job and state not in (*_AS_WAS, "cancelled", "unknown")
    why = run.job_reason if waits or ended else None
    if not run.has_job and state in _AS_WAS:
        state = _OVER
    elif not run.has_job and state == "unknown":
        state = "waited for no longer"
    return " · ".join(filter(None, (str(run.job), f"{state} ({why})" if why else state)))


def stopped_text(done: Stopped) -> str:
    """Return what became of a run that was to stop, as the rest of a sentence about it."""
    run = done.run
    left = f"; job {run.job} itself was not cancelled" if done.leaves_job else ""
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
            return f"no longer waits for job {run.job}; the job itself was not cancelled"
        case "gone":
            return "has no process here to stop"
