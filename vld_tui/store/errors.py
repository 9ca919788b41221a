"""User errors of the history."""

from __future__ import annotations

from engine.protocol import UserError
from vld_tui.runs.run import GONE, Run


class StoreError(UserError):
    """A failed operation; the message names what, where and what to do."""


class DatabaseDamaged(StoreError):  # noqa: N818 - reads as the fact it states
    """The database is damaged; the run folders are not affected."""


class DatabaseUnwritable(StoreError):  # noqa: N818 - reads as the fact it states
    """The database cannot be written on this disk, and perhaps not opened."""


class DatabaseLocked(StoreError):  # noqa: N818 - reads as the fact it states
    """Another program has kept the database locked."""


class DatabaseTooLarge(StoreError):  # noqa: N818 - reads as the fact it states
    """The database is too large to be copied into memory."""


class SeriesDamaged(StoreError):  # noqa: N818 - reads as the fact it states
    """A run's stored metrics cannot be unpacked."""


class RunNotFound(StoreError):  # noqa: N818 - reads as the fact it states
    """No run has this id, prefix or name."""


class RunNotTrashed(StoreError):  # noqa: N818 - reads as the fact it states
    """A run is not in the trash."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"Run {run_id} is not in the trash.")


class AmbiguousRun(StoreError):  # noqa: N818 - reads as the fact it states
    """Several runs have this prefix or name."""


class QueryError(UserError):
    """An invalid query; the message names the part and the reason."""


def folder_gone(run_id: str) -> str:
    """Return that a run's folder was deleted or moved."""
    return f"The folder of run {run_id} is missing: runs/{run_id} was deleted or moved."


def missing_folder_advice(run_id: str) -> str:
    """Return that a run's folder was deleted or moved, and what to do."""
    return f"{folder_gone(run_id)}\nPut it back, or forget the run: vld rm {run_id}"


def out_of_reach(run: Run) -> str | None:
    """Return why a run's folder cannot be used: it is in the trash, or gone; None: it can."""
    if run.trashed_at is not None:
        return is_trashed(run.run_id)
    return folder_gone(run.run_id) if run.status == GONE else None


def is_trashed(run_id: str) -> str:
    """Return the message for a run that has to be restored from the trash first."""
    return f"Run {run_id} is in the trash. Restore it first: vld restore {run_id}"
