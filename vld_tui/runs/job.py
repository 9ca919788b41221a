"""The state of a run's cluster job."""

from __future__ import annotations

from typing import Final, NamedTuple

FORGOTTEN: Final = "FORGOTTEN"
"""State of an ended job that Slurm no longer knows."""
EXIT_CODE: Final = "exit code "
"""Prefix of the reason of a job whose script failed, before the code."""
_WAITING: Final = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT")
_OVER: Final = (
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
    "PREEMPTED", "TIMEOUT", FORGOTTEN,
)  # fmt: skip
_IN_WORDS: Final = {
    "BOOT_FAIL": "the node did not start",
    "CANCELLED": "cancelled",
    "COMPLETED": "completed",
    "DEADLINE": "the deadline passed",
    "FAILED": "failed",
    "NODE_FAIL": "the node failed",
    "OUT_OF_MEMORY": "killed for exceeding its memory: increase --mem",
    "PREEMPTED": "preempted by other jobs",
    "TIMEOUT": "time limit reached",
}


class Job(NamedTuple):
    """A job, or one task of an array, as reported by Slurm.

    ``state`` is Slurm's state, such as PENDING; ``reason`` is why it is pending or how it ended;
    ``node`` is where it runs or ran, or empty.
    """

    job_id: str
    state: str
    reason: str = ""
    node: str = ""

    @property
    def waits(self) -> bool:
        """Return whether it is pending."""
        return self.state in _WAITING

    @property
    def is_over(self) -> bool:
        """Return whether it has ended."""
        return self.state in _OVER

    @property
    def is_held(self) -> bool:
        """Return whether it is held."""
        return self.waits and self.reason.startswith("JobHeld")

    def end_in_words(self) -> str:
        """Return how it ended, as text."""
        where = f" on {self.node}" if self.node else ""
        how = _IN_WORDS.get(self.state, "the reason is unknown")
        if self.reason.startswith(EXIT_CODE):
            how += f" ({self.reason})"
        return f"job {self.job_id} ended{where}: {how}"
