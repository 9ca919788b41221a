"""A polite request to stop, made by a signal or in the run folder, and honoured between steps."""

from __future__ import annotations

import signal
from types import FrameType


class StopRequested(Exception):  # noqa: N818 - not an error
    """Raised between steps of work that has nothing worth saving."""


class StopRequest:
    """Whether somebody asked this process to stop, and how."""

    def __init__(self) -> None:
        self.reason = ""

    @property
    def requested(self) -> bool:
        """Say whether a stop was asked for."""
        return bool(self.reason)

    def install(self) -> None:
        """Listen to SIGTERM, SIGINT and SIGUSR2, by which clusters warn of a job's end; a second
        SIGINT ends the process at once."""
        signal.signal(signal.SIGTERM, self._note)
        signal.signal(signal.SIGUSR2, self._note)
        signal.signal(signal.SIGINT, self._note)

    def ask(self, reason: str) -> None:
        """Ask for a stop, from any thread; what asked first stays the reason."""
        self.reason = self.reason or reason

    def raise_if_requested(self) -> None:
        """Stop here if it was asked for.

        Raises:
            StopRequested: when it was.
        """
        if self.requested:
            raise StopRequested

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.ask(signal.Signals(number).name)
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
