"""Check the types of a row's values.

SQLite stores any type that another program, or a failing disk, puts into a column.
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
"""The latest valid time (Unix seconds), with a four-digit year."""


class RowKinds:
    """The allowed types of a query's columns, in order."""

    def __init__(self, columns: Mapping[str, Kinds]) -> None:
        self.columns: Final = dict(columns)
        self._known: dict[tuple[type, ...], int | None] = {}

    def misfit(self, row: Sequence[Any]) -> str | None:
        """Return the problem with the first value of a wrong type, or None."""
        kinds = tuple(map(type, row))
        if kinds not in self._known:  # few combinations occur
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
    """Return whether a value is text, and none of it had to be replaced in reading."""
    return isinstance(value, str) and "\ufffd" not in value


def is_time(value: object) -> TypeGuard[float]:
    """Return whether a value can be a time, in Unix seconds."""
    return isinstance(value, float | int) and -LATEST < value < LATEST
