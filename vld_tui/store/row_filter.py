"""Filter rows of text, such as a table's, by the language of filters.

The fields are the column headings; cells are compared as they are shown.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from engine.protocol import nearest
from vld_tui.store.errors import QueryError
from vld_tui.store.fields import known_name
from vld_tui.store.patterns import TOO_SLOW, Matcher, check_pattern
from vld_tui.store.query import starred
from vld_tui.store.terms import Joined, Not, Term, Tree, parse_terms
from vld_tui.words.numbers import UNKNOWN

Row = Sequence[str]
Test = Callable[[Row], bool]
_NUMBER: Final = re.compile(r"-?[\d,]*\.?\d+")
_COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class RowFilter:
    """A filter of rows with the same columns. See :meth:`parse`."""

    _test: Test
    _matcher: Matcher

    @classmethod
    def parse(cls, text: str, columns: Sequence[str]) -> Self:
        """Read a filter of rows with these headings.

        Raises:
            QueryError: for an invalid part, with the columns.
        """
        matcher = Matcher()
        return cls(_test_of(parse_terms(text), columns, matcher), matcher)

    def select(self, rows: Sequence[Row]) -> list[int]:
        """Return the places of the rows that match.

        Raises:
            QueryError: when a regular expression takes too long.
        """
        self._matcher.begin()
        try:
            return [place for place, row in enumerate(rows) if self._test(row)]
        except TimeoutError:
            raise QueryError(TOO_SLOW) from None


def field_names(columns: Sequence[str]) -> list[str]:
    """Return the names of columns in filters, without those that have no heading."""
    return [name for name in map(_field_name, columns) if name]


def _field_name(heading: str) -> str:
    return re.sub(r"\W+", "_", heading.lower()).strip("_")


def _test_of(tree: Tree, columns: Sequence[str], matcher: Matcher) -> Test:
    match tree:
        case Term():
            return _test_of_term(tree, columns, matcher)
        case Not(part):
            test = _test_of(part, columns, matcher)
            return lambda row: not test(row)
        case Joined(parts, is_any):
            tests = [_test_of(part, columns, matcher) for part in parts]
            is_true = any if is_any else all
            return lambda row: is_true(test(row) for test in tests)


def _test_of_term(term: Term, columns: Sequence[str], matcher: Matcher) -> Test:
    if term.field is None:
        found = _cell_test(term, matcher, is_whole=False)
        return lambda row: any(map(found, row))
    place = _place_of(term.field, columns)
    if (compare := _COMPARE.get(term.operator)) is not None:
        bound = _number(term.value)
        if bound is None:
            raise QueryError(f"{term.field} is {term.value!r}, but must be a number.")
        return lambda row: (number := _number(row[place])) is not None and compare(number, bound)
    holds = _cell_test(term, matcher, is_whole=term.operator in ("=", "!="))
    is_negated = term.operator.startswith("!")
    return lambda row: holds(row[place]) is not is_negated


def _place_of(field: str, columns: Sequence[str]) -> int:
    wanted = known_name(field)
    for place, heading in enumerate(columns):
        name = _field_name(heading)
        if name and known_name(name) == wanted:
            return place
    names = field_names(columns)
    hint = nearest(field, names) or f" Fields: {', '.join(names)}."
    raise QueryError(f"No field {field!r} in this list.{hint}")


def _cell_test(term: Term, matcher: Matcher, *, is_whole: bool) -> Callable[[str], bool]:
    """Return the test of a cell; ``is_whole``: all of it must match."""
    if term.operator.endswith("~"):
        pattern = check_pattern(term.value)
        return lambda cell: matcher.matches(pattern, cell)
    if is_whole and term.value in ("", "none") and not term.is_quoted:
        return lambda cell: cell.strip() in ("", UNKNOWN)
    text = re.escape(term.value) if term.is_quoted else starred(term.value)
    found = re.compile(rf"\A{text}\Z" if is_whole else text, re.IGNORECASE | re.DOTALL)
    number = _number(term.value) if is_whole else None
    return lambda cell: (
        found.search(cell.strip()) is not None or (number is not None and _number(cell) == number)
    )


def _number(text: str) -> float | None:
    """Return the number that a text is, with or without a percent sign."""
    plain = text.strip().removesuffix("%")
    return float(plain.replace(",", "")) if _NUMBER.fullmatch(plain) else None
