"""Regular expressions of filters, matched within a time limit."""

from __future__ import annotations

import functools
import time
import warnings
from typing import TYPE_CHECKING, Any, Final

from vld_tui.store.errors import QueryError

if TYPE_CHECKING:
    import regex

MOST_S: Final = 10.0
"""Time that the expressions of one database query may take."""
MOST_AT_ONCE_S: Final = 1.0
"""Time that one expression may take on one text; sound ones take microseconds."""
TOO_SLOW: Final = (
    "The regular expression takes too long on the runs of this home. Simplify it: avoid repeats "
    "inside repeats, such as (a*b*)*."
)


def check_pattern(pattern: str, flags: str = "i") -> str:
    """Return an expression that ignores case and finds what ``pattern`` does.

    Raises:
        QueryError: when it is not a regular expression.
    """
    import regex  # few filters need it

    whole = f"(?{flags}:{pattern})"
    try:
        with warnings.catch_warnings(action="error"):
            _compiled(pattern), _compiled(whole)  # a ")" could close the group around it
    except (regex.error, RecursionError, OverflowError, ValueError, Warning) as error:
        raise QueryError(f"{pattern!r} is not a regular expression: {error}.") from None
    return whole


class Matcher:
    """The SQL functions that match regular expressions; each query has :data:`MOST_S` for them."""

    def __init__(self) -> None:
        self._left_s = MOST_S

    @property
    def is_out_of_time(self) -> bool:
        """Return whether the current query's time is over."""
        return self._left_s <= 0

    def begin(self) -> None:
        """Start the time of another query."""
        self._left_s = MOST_S

    def matches(self, pattern: str, text: str | None) -> bool:
        """Return whether an expression is found in text.

        Raises:
            TimeoutError: when the time is over.
        """
        if text is None:
            return False
        if self.is_out_of_time:
            raise TimeoutError
        started = time.perf_counter()
        try:
            return (
                _compiled(pattern).search(text, timeout=MOST_AT_ONCE_S, concurrent=True) is not None
            )
        except TimeoutError:
            self._left_s = 0.0
            raise
        finally:
            self._left_s -= time.perf_counter() - started

    def matches_word(self, pattern: str, words: str | None) -> bool:
        """Return whether an expression is found in one of the words."""
        return any(self.matches(pattern, word) for word in (words or "").split())


@functools.lru_cache(maxsize=64)
def _compiled(pattern: str) -> regex.Pattern[Any]:
    import regex

    return regex.compile(pattern)
