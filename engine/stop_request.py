"""Requests to stop, by signal or by a file in the run folder; checked between steps."""

from __future__ import annotations

import signal
from types import FrameType


class StopRequested(Exception):  # noqa: N818 - not an error
    """Raised when a stop was requested and there is nothing to save."""


class StopRequest:
    """Whether this process was asked to stop, and why."""

    def __init__(self) -> None:
        self.reason = ""

    @property
    def requested(self) -> bool:
        """Return whether a stop was requested."""
        return bool(self.reason)

    def install(self) -> None:
        """Handle SIGTERM, SIGINT and SIGUSR2 (sent by clusters before a job's time limit).

        A second SIGINT ends the process immediately.
        """
        signal.signal(signal.SIGTERM, self._note)
        signal.signal(signal.SIGUSR2, self._note)
        signal.signal(signal.SIGINT, self._note)

    def ask(self, reason: str) -> None:
        """Request a stop, from any thread; the first reason is kept."""
        self.reason = self.reason or reason

    def raise_if_requested(self) -> None:
        """Stop here if requested.

        Raises:
            StopRequested: if a stop was requested.
        """
        if self.requested:
            raise StopRequested

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.ask(signal.Signals(number).name)
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
