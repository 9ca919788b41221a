"""A cluster's jobs, as far as a run's history cares."""

from __future__ import annotations

from typing import Final, NamedTuple

FORGOTTEN: Final = "FORGOTTEN"
"""Our word for a job that is over and of which Slurm knows no more."""
EXIT_CODE: Final = "exit code "
"""Begins our words for why a job failed whose script did, before the code."""
_WAITING: Final = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT")
_OVER: Final = (
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
    "PREEMPTED", "TIMEOUT", FORGOTTEN,
)  # fmt: skip
_IN_WORDS: Final = {
    "BOOT_FAIL": "its node did not start",
    "CANCELLED": "it was cancelled",
    "COMPLETED": "it ended by itself",
    "DEADLINE": "its deadline passed",
    "FAILED": "it failed",
    "NODE_FAIL": "its node failed",
    "OUT_OF_MEMORY": "killed for more memory than it had asked for: give --mem more",
    "PREEMPTED": "other jobs took its place",
    "TIMEOUT": "its time was up",
}


class Job(NamedTuple):
    """A job, or one task of an array, as Slurm tells of it.

    ``state`` is Slurm's word, such as PENDING; ``reason`` why it waits or how it ended; ``node``
    where it runs or ran, empty if nowhere.
    """

    job_id: str
    state: str
    reason: str = ""
    node: str = ""

    @property
    def waits(self) -> bool:
        """Say whether it is yet to run."""
        return self.state in _WAITING

    @property
    def is_over(self) -> bool:
        """Say whether it will not run any more."""
        return self.state in _OVER

    @property
    def is_held(self) -> bool:
        """Say whether somebody keeps it from running."""
        return self.waits and self.reason.startswith("JobHeld")

    def end_in_words(self) -> str:
        """Say how it ended."""
        where = f" on {self.node}" if self.node else ""
        how = _IN_WORDS.get(self.state, "Slurm does not say how")
        if self.reason.startswith(EXIT_CODE):
            how += f" ({self.reason})"
        return f"job {self.job_id} is over{where}: {how}"
