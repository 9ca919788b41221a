"""Errors that the user can fix."""

from __future__ import annotations


class UserError(Exception):
    """An error that the user can fix.

    The message states what failed, where, and what to do next, in one or two lines. ``exit_code``
    is that of a command that fails with it.
    """

    exit_code: int = 2


class InputError(UserError, ValueError):
    """Invalid input, found before anything is trained."""


class DataError(InputError):
    """Unusable images; the message names the file, folder or data set."""


class DamagedFileError(Exception):
    """A corrupted file of tensors. The reader reports which file it is, and what to do."""


class TrainingError(UserError, RuntimeError):
    """Training that cannot continue, such as a loss that is not finite.

    ``step`` is the update it happened at, counting from 1; None if it concerns no step.
    """

    exit_code = 1

    def __init__(self, message: str, step: int | None = None) -> None:
        super().__init__(message)
        self.step = step
