"""The language runs are filtered with: ``dropout>=0.9 dataset=emoji status:running tag:best``.

Terms are separated by spaces and all must hold. ``field=value`` and ``field!=value`` compare,
``<``, ``<=``, ``>`` and ``>=`` do for numbers and dates, ``:`` finds text inside text and is
``=`` otherwise. A bare word is looked for in id, name, tags and note. Values with spaces stand
in double quotes; a quoted word alone is always text. Accuracies are shares or percents:
``ood>0.5``, ``ood>50%``. ``none`` is a number that is not there; ``tag=`` finds runs without tags.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Self

import msgspec

from engine.protocol import nearest
from vld_tui.store.fields import ALIASES, QUERY_FIELDS, QueryField

_TERM: Final = re.compile(
    r"(?:(?P<field>[A-Za-z_][\w-]*)(?P<operator>!=|<=|>=|=|:|<|>))?"
    r'(?:"(?P<quoted>[^"]*)"|(?P<bare>[^\s"]*))(?=\s|$)'
)
_MOST_TERMS: Final = 50
_LONGEST: Final = 1000
_ORDERED: Final = ("<", "<=", ">", ">=")
_FLAGS: Final = {"true": 1, "yes": 1, "1": 1, "false": 0, "no": 0, "0": 0}

Value = str | float | None


class QueryError(ValueError):
    """A query that means nothing; the message says which part and why."""


@dataclass(frozen=True)
class Condition:
    """An SQL expression and the values of its parameters."""

    sql: str
    parameters: tuple[Value, ...]


@dataclass(frozen=True)
class Query:
    """Which runs, in which order; empty: all, the newest first. Made by :meth:`parse`."""

    conditions: tuple[Condition, ...] = ()
    order: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str, *, sort: str | None = None) -> Self:
        """Read a query and the fields to sort by: ``-ood,name`` is highest OOD first.

        Raises:
            QueryError: naming what is not understood, with the nearest known names.
        """
        _check_text(text)
        terms = list(_terms(text))
        if len(terms) > _MOST_TERMS:
            raise QueryError(f"The query has {len(terms)} terms, but may have {_MOST_TERMS}.")
        order = tuple(_order(key) for key in sort.split(",")) if sort else ()
        return cls(tuple(_condition(term) for term in terms), order)

    def narrowed(self, condition: Condition) -> Self:
        """Return the query with one condition more."""
        return replace(self, conditions=(*self.conditions, condition))

    @property
    def where(self) -> str:
        """Return the condition in SQL."""
        return " AND ".join(f"({condition.sql})" for condition in self.conditions) or "TRUE"

    @property
    def parameters(self) -> tuple[Value, ...]:
        """Return the values of the condition's parameters."""
        return tuple(value for condition in self.conditions for value in condition.parameters)

    @property
    def order_by(self) -> str:
        """Return the order in SQL; what is not known comes last."""
        return ", ".join(dict.fromkeys((*self.order, "created_at DESC", "key DESC")))


def is_one_of(run_ids: Iterable[str]) -> Condition:
    """Return the condition that holds for these runs."""
    return Condition(
        "run_id IN (SELECT value FROM json_each(?))", (msgspec.json.encode([*run_ids]).decode(),)
    )


def _terms(text: str) -> list[re.Match[str]]:
    terms: list[re.Match[str]] = []
    position = 0
    while (start := _skip_space(text, position)) < len(text):
        term = _TERM.match(text, start)
        if term is None:
            raise QueryError(f"{text[start:]!r} has a quote that does not end, or text after one.")
        terms.append(term)
        position = term.end()
    return terms


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def _condition(term: re.Match[str]) -> Condition:
    name, operator, quoted, bare = term.group("field", "operator", "quoted", "bare")
    value = bare if quoted is None else quoted
    if name is not None:
        return _comparison(find_field(name, "ask for"), operator, value)
    if quoted is None and value[0] in "=<>:!":
        raise QueryError(f"{value!r} lacks a field: write field{value[0]}value without spaces.")
    columns = ("run_id", "name", "tags", "note")
    pattern = _containing(value)
    return Condition(
        " OR ".join(rf"{column} LIKE ? ESCAPE '\'" for column in columns), (pattern,) * 4
    )


def find_field(name: str, purpose: str, *others: str) -> QueryField:
    """Return the field of a name or an alias, as a person writes it.

    ``others`` are words that may stand in its place, and may have been meant.

    Raises:
        QueryError: when there is none, with the nearest names.
    """
    plain = name.lower().replace("-", "_")
    field = QUERY_FIELDS.get(ALIASES.get(plain, plain))
    if field is None:
        hint = nearest(plain, [*others, *QUERY_FIELDS, *ALIASES])
        raise QueryError(
            f"No field {name!r} to {purpose}.{hint}"
            + ("" if hint else f" Known: {', '.join(QUERY_FIELDS)}.")
        )
    return field


def _comparison(field: QueryField, operator: str, value: str) -> Condition:
    if operator in _ORDERED and field.kind not in ("number", "time"):
        raise QueryError(f"{field.name} has no order: use {field.name}=… or {field.name}!=…")
    match field.kind:
        case "tags":
            found = "instr(' ' || tags || ' ', ' ' || ? || ' ')"
            return Condition(f"{found} {'= 0' if operator == '!=' else '> 0'}", (value,))
        case "text" if operator == ":":
            return Condition(rf"{field.sql} LIKE ? ESCAPE '\'", (_containing(value),))
        case "text":
            known: Value = value
        case "choice":
            known = _choice(field, value)
        case "flag":
            known = _flag(field, value)
        case "number":
            known = _number(field, operator, value)
        case "time":
            known = _time(field, operator, value)
    sql_operator = {"=": "IS", ":": "IS", "!=": "IS NOT"}.get(operator, operator)
    return Condition(f"({field.sql}) {sql_operator} ?", (known,))


def _choice(field: QueryField, value: str) -> str:
    if value not in field.choices:
        known = ", ".join(field.choices)
        hint = nearest(value, field.choices)
        raise QueryError(f"{field.name} is {value!r}, but must be one of {known}.{hint}")
    return value


def _flag(field: QueryField, value: str) -> int:
    if value.lower() not in _FLAGS:
        raise QueryError(f"{field.name} is {value!r}, but must be true or false.")
    return _FLAGS[value.lower()]


def _number(field: QueryField, operator: str, value: str) -> float | None:
    if value.lower() == "none" and operator not in _ORDERED:
        return None
    try:
        number = float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise QueryError(f"{field.name} is {value!r}, but must be a number.")
    if field.is_share and number > 1:
        raise QueryError(
            f"{field.name} is a share from 0 to 1 or a percent: write {value}%, not {value}."
        )
    return number


def _time(field: QueryField, operator: str, value: str) -> float:
    if operator not in _ORDERED:
        raise QueryError(
            f"{field.name} is compared with <, <=, > or >=, such as created>=2025-01-31."
        )
    try:
        return datetime.fromisoformat(value).timestamp()
    except (ValueError, OverflowError, OSError):
        raise QueryError(
            f"{field.name} is {value!r}, but must be a date such as 2025-01-31 or 2025-01-31T18:00."
        ) from None


def _order(key: str) -> str:
    """Return the SQL that sorts by one field; ``-`` before it: highest first."""
    _check_text(key)
    name = key.strip()
    field = find_field(name.removeprefix("-"), "ask for")
    if name.startswith("-"):
        return f"{field.sql} DESC"  # what is not known comes last of itself
    return f"{field.sql} ASC NULLS LAST"


def _containing(text: str) -> str:
    r"""Return the LIKE pattern, escaped by ``\``, of what contains ``text``."""
    return "%" + re.sub(r"([\\%_])", r"\\\1", text) + "%"


def _check_text(text: str) -> None:
    if len(text) > _LONGEST:
        raise QueryError(f"The query has {len(text)} characters, but may have {_LONGEST}.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise QueryError(f"The query holds bytes that are not text: {text!r}.") from None
