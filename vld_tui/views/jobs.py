"""A run's job on a cluster, in words."""

from __future__ import annotations

from typing import Final

from vld_tui.store.runs import QUEUED, Run

_OVER: Final = "over"
_AS_WAS: Final = ("", "forgotten", "pending", "running")
"""What a job that is over may have been when it was last asked about."""


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
