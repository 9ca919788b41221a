"""Which kinds of values the columns of a row may have.

SQLite keeps whatever another program, or a disk that fails, puts into a column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeGuard

Kinds = tuple[type, ...]

TEXT: Final[Kinds] = (str,)
WHOLE: Final[Kinds] = (int,)
NUMBER: Final[Kinds] = (float, int)
NOTHING: Final[Kinds] = (type(None),)
LATEST: Final = 2.0**36
"""No time of a run is later, in Unix seconds: a year of four digits."""


class RowKinds:
    """The kinds of values that the columns of a query may have, in their order."""

    def __init__(self, columns: Mapping[str, Kinds]) -> None:
        self.columns: Final = dict(columns)
        self._known: dict[tuple[type, ...], int | None] = {}

    def misfit(self, row: Sequence[Any]) -> str | None:
        """Return what is wrong with the first value of another kind; None: nothing is."""
        kinds = tuple(map(type, row))
        if kinds not in self._known:  # few combinations for any number of rows
            self._known[kinds] = next(
                (
                    at
                    for at, (kind, allowed) in enumerate(
                        zip(kinds, self.columns.values(), strict=True)
                    )
                    if kind not in allowed
                ),
                None,
            )
        at = self._known[kinds]
        if at is None:
            return None
        shown = "nothing" if row[at] is None else repr(row[at])[:40]
        return f"{list(self.columns)[at]} is {shown}"


def is_sound(value: object) -> TypeGuard[str]:
    """Say whether a value is text, and none of it had to be replaced in reading."""
    return isinstance(value, str) and "\ufffd" not in value


def is_time(value: object) -> TypeGuard[float]:
    """Say whether a value can be a time, in Unix seconds."""
    return isinstance(value, float | int) and -LATEST < value < LATEST
