"""A run's job on a cluster, in words."""

from __future__ import annotations

from typing import Final

from vld_tui.store.runs import Run

_OVER: Final = "over"


def job_text(run: Run) -> str:
    """Return the id of the job that a run was given to, and where it stands by the scheduler."""
    state = (run.job_state or "").lower().replace("_", " ")
    if not run.has_job:
        state = _OVER if state in ("", "forgotten", "pending", "running") else state
    why = run.job_reason if state != "cancelled" else None
    return " · ".join(filter(None, (str(run.job), f"{state} ({why})" if why else state)))
