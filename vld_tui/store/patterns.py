"""Regular expressions of filters, matched within a time limit."""

from __future__ import annotations

import functools
import re
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
MOST_QUICK_CHARACTERS: Final = 1000
"""Length of a text on which an expression with one repeat surely takes little time."""
_ATOM: Final = re.compile(r"\\[dwsDWSbAZ\W]|\[\^?(?:[^\[\]\\]|\\[dws\W])+\]")
"""An escape or a set of characters that ``re`` and ``regex`` read in the same way."""
_WHOLE: Final = re.compile(r"\(\?[ims]+:(.*)\)", re.DOTALL)
TOO_SLOW: Final = (
    "The regular expression takes too long. Simplify it: avoid nested repeats such as (a*b*)*."
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
        quick = _quick(pattern)
        if quick is not None and len(text) <= MOST_QUICK_CHARACTERS:
            return quick.search(text) is not None
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
def _quick(pattern: str) -> re.Pattern[str] | None:
    """Return an expression for ``re``, which has no time limit but is ten times as fast, if it has
    no groups and at most one repeat."""
    whole = _WHOLE.fullmatch(pattern)
    rest = _ATOM.sub("", whole[1] if whole else pattern)
    repeats = sum(rest.count(sign) for sign in "*+?")
    if repeats > 1 or any(sign in rest for sign in "\\()[]{}"):
        return None
    try:
        return re.compile(pattern)
    except re.error:
        return None


@functools.lru_cache(maxsize=64)
def _compiled(pattern: str) -> regex.Pattern[Any]:
    import regex

    return regex.compile(pattern)
