"""What a command says when it cannot do what was asked, and the exit codes it leaves with."""

from __future__ import annotations

from typing import Final

FAILED_EXIT: Final = 1
USAGE_EXIT: Final = 2
INTERRUPTED_EXIT: Final = 130
BROKEN_PIPE_EXIT: Final = 141


class CommandError(Exception):
    """What a command cannot do; the message says why and what to do instead."""

    def __init__(self, message: str, *, exit_code: int = USAGE_EXIT) -> None:
        super().__init__(message)
        self.exit_code = exit_code
