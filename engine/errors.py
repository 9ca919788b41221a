"""Errors that a person can mend."""


class InputError(ValueError):
    """Input that no run can be made of: refused before anything is trained.

    The message says what is wrong, where, and what to do about it.
    """


class TrainingError(RuntimeError):
    """Training that cannot go on, such as a loss that is not finite.

    ``step`` is the update it happened at, counting from 1; None: it belongs to none.
    """

    def __init__(self, message: str, step: int | None = None) -> None:
        super().__init__(message)
        self.step = step
