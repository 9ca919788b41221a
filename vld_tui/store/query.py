"""The filter language for runs: ``dropout>=0.9 and (target=re* or not tag:best)``.

Adjacent terms are combined with ``and``; ``or`` (``|``), ``not`` (``!`` or a leading ``-``) and
parentheses work too. ``field=value`` and ``field!=value`` compare whole values, ``:`` finds text
inside them, both ignoring case; ``<``, ``<=``, ``>`` and ``>=`` apply to numbers, durations and
dates; ``~`` is a regular expression. ``1..5`` is a range, ``1,2,5`` or ``1|2|5`` a choice, ``re*``
a prefix. A flag alone means true. Any other word or ``/expression/`` alone is searched in id, name,
tags, note, data set and target, and a word must occur in some run unless it is quoted. Values with
spaces need quotes (single or double); quoted text is taken literally. Accuracies are fractions or
percentages: ``ood>0.5``, ``ood>50%``. ``none`` is a missing value; ``tag=`` finds runs without
tags.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Self

import msgspec

from engine.protocol import nearest
from vld_tui.runs.run import DAMAGED, STATUSES
from vld_tui.store.database import Database
from vld_tui.store.errors import QueryError
from vld_tui.store.fields import ALIASES, QUERY_FIELDS, QueryField, known_name
from vld_tui.store.patterns import check_pattern
from vld_tui.store.rows import find_unreadable
from vld_tui.store.specs import spec_value
from vld_tui.store.terms import Joined, Not, Term, Tree, check_text, parse_terms

EXAMPLE: Final = "dropout>=0.9 target=clipart (status:running or tag:best)"
"""An example of the language."""
_CONSIDERED: Final = 1000
"""How many values are searched for similar ones."""
_ORDERED: Final = ("<", "<=", ">", ">=")
_FLAGS: Final = {"true": 1, "yes": 1, "1": 1, "false": 0, "no": 0, "0": 0}
_TEXT_COLUMNS: Final = (
    "run_id", "name", "tags", "note",
    spec_value("dataset"), f"coalesce({spec_value('target')}, '')",
)  # fmt: skip
_ALL_TEXT: Final = " || char(10) || ".join(f"coalesce({each}, '')" for each in _TEXT_COLUMNS)
SEARCHED: Final = "id, name, tags, note, data set and target"
"""The fields that a word without a field searches."""
_SECONDS: Final = {
    "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000,
}  # fmt: skip
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:s|min|m|h|d|w|y))+")
_PART_OF_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(s|min|m|h|d|w|y)")
_MOST_STARS: Final = 5
Value = str | float | None


@dataclass(frozen=True)
class Query:
    """A filter and an order; empty: all runs, newest first. See :meth:`parse`."""

    conditions: tuple[Condition, ...] = ()
    order: tuple[str, ...] = ()
    terms: tuple[Term, ...] = ()

    @classmethod
    def parse(cls, text: str, *, sort: str | None = None) -> Self:
        """Read a query and the fields to sort by: ``-ood,name`` is highest OOD first.

        Raises:
            QueryError: for an invalid part, with the nearest known names.
        """
        tree = parse_terms(text)
        order = tuple(_order(key) for key in sort.split(",")) if sort else ()
        return cls(tuple(_condition(part) for part in tree.parts), order, tuple(_terms(tree)))

    def narrowed(self, condition: Condition) -> Self:
        """Return the query with an additional condition."""
        return replace(self, conditions=(*self.conditions, condition))

    def of_rows(self, keys: str) -> Self:
        """Return the query of these rows of the database (a JSON array) instead."""
        pinned = Condition("key IN (SELECT value FROM json_each(?))", (keys,))
        return replace(self, conditions=(pinned,))

    @property
    def words(self) -> tuple[Term, ...]:
        """Return the unquoted search words, which must occur in some run."""
        return tuple(
            term for term in self.terms
            if term.field is None
            and not (term.operator or term.is_quoted or _is_flag(term.value))
        )  # fmt: skip

    @property
    def where(self) -> str:
        """Return the condition in SQL."""
        return all_of(self.conditions).sql or "TRUE"

    @property
    def parameters(self) -> tuple[Value, ...]:
        """Return the values of the condition's parameters."""
        return all_of(self.conditions).parameters

    @property
    def order_by(self) -> str:
        """Return the order in SQL; missing values come last."""
        return ", ".join(dict.fromkeys((*self.order, "created_at DESC", "key DESC")))


def is_one_of(run_ids: Iterable[str]) -> Condition:
    """Return the condition for these runs."""
    return Condition(
        "run_id IN (SELECT value FROM json_each(?))", (msgspec.json.encode([*run_ids]).decode(),)
    )


def _condition(tree: Tree) -> Condition:
    match tree:
        case Term():
            return condition_of(tree)
        case Not(part):
            return _condition(part).negated
        case Joined(parts, is_any):
            return all_of(tuple(_condition(part) for part in parts), is_any=is_any)


def _terms(tree: Tree) -> Iterator[Term]:
    match tree:
        case Term():
            yield tree
        case Not(part):
            yield from _terms(part)
        case Joined(parts):
            for part in parts:
                yield from _terms(part)


def _is_flag(word: str) -> bool:
    field = QUERY_FIELDS.get(known_name(word))
    return field is not None and field.kind == "flag"


def _order(key: str) -> str:
    """Return the SQL that sorts by one field; a leading ``-`` means descending."""
    check_text(key)
    name = key.strip()
    field = find_field(name.removeprefix("-"), "sort by")
    sql = f"natural_key({field.sql})" if field.name == "name" else field.sql
    if name.startswith("-"):
        return f"{sql} DESC"  # NULLs come last in descending order
    return f"{sql} ASC NULLS LAST"


def refuse_unknown_words(database: Database, query: Query) -> None:
    """Reject a search word that no run has, since it may be a mistyped field or value.

    Raises:
        QueryError: naming the word and what may have been meant.
        StoreError: when the database cannot be read.
    """
    for term in query.words:
        if not _is_somewhere(database, term) and database.row("SELECT 1 FROM runs LIMIT 1"):
            raise QueryError(_unknown_word(term.value))


def unmatched_values(database: Database, query: Query) -> Iterator[str]:
    """Yield a sentence for each text that no run has in the field it is compared with.

    Raises:
        StoreError: when the database cannot be read.
    """
    for term in query.terms:
        if term.operator != "=" or term.field is None or "*" in term.value or not term.value:
            continue
        field = find_field(term.field, "filter by")
        if field.kind == "text" and not _is_somewhere(database, term):
            rows = database.rows(
                f"SELECT DISTINCT {field.sql} FROM runs ORDER BY key DESC LIMIT {_CONSIDERED}"
            )
            hint = nearest(term.value, [value for (value,) in rows if value])
            if term.value[:1] == term.value[-1:] == "/" and not term.is_quoted:
                hint = f" For a regular expression, use {field.name}~{term.value}"
            yield f"No run has {field.name} {term.value!r}.{hint}"


def _is_somewhere(database: Database, term: Term) -> bool:
    found = condition_of(term)
    row = database.row(f"SELECT 1 FROM runs WHERE {found.sql} LIMIT 1", found.parameters)
    return row is not None


def _unknown_word(word: str) -> str:
    if word.lower() in STATUSES:
        hint = f"Did you mean status:{word.lower()}?"
    elif word.lower() in (*QUERY_FIELDS, *ALIASES):
        hint = f"{word} is a field: use {word}=VALUE."
    else:
        near = nearest(word, [*QUERY_FIELDS, *ALIASES]).strip()
        hint = near or "List fields with: vld ls --fields"
    return (
        f"No run has {word!r} in its {SEARCHED}. {hint}\n"
        f"To search for it anyway, quote it: '\"{word}\"'"
    )


def row_condition(database: Database, query: Query, *, trashed: bool = False) -> str:
    """Return the condition over a row of the matching runs, in or not in the trash.

    Raises:
        StoreError: when the database cannot be read.
    """
    if DAMAGED in query.parameters:
        find_unreadable(database)
    place = "trashed_at IS NOT NULL" if trashed else "trashed_at IS NULL"
    return f"{place} AND {query.where}"


@dataclass(frozen=True)
class Condition:
    """An SQL expression and the values of its parameters."""

    sql: str
    parameters: tuple[Value, ...] = ()

    @property
    def negated(self) -> Condition:
        """Return the condition of all other runs, including those without a value."""
        return Condition(f"({self.sql}) IS NOT TRUE", self.parameters)


def all_of(conditions: tuple[Condition, ...], *, is_any: bool = False) -> Condition:
    """Return the conjunction of the conditions, or their disjunction."""
    sql = (" OR " if is_any else " AND ").join(f"({each.sql})" for each in conditions)
    return Condition(sql, tuple(value for each in conditions for value in each.parameters))


def find_field(name: str, purpose: str, *others: str) -> QueryField:
    """Return the field with a name or alias.

    ``others`` are words that are also valid in its place, for suggestions.

    Raises:
        QueryError: when it does not exist, with the nearest names.
    """
    field = QUERY_FIELDS.get(known_name(name))
    if field is None:
        plain = name.lower().replace("-", "_")
        hint = nearest(plain, [*others, *QUERY_FIELDS, *ALIASES])
        raise QueryError(f"No field {name!r} to {purpose}.{hint} List fields with: vld ls --fields")
    return field


def condition_of(term: Term) -> Condition:
    """Return the condition of a term.

    Raises:
        QueryError: for an unknown field or an invalid value.
    """
    if term.field is None:
        return _search(term)
    field = find_field(term.field, "filter by")
    if term.operator in ("~", "!~"):
        found = _matching(field, term.value)
        return found if term.operator == "~" else found.negated
    if term.operator in _ORDERED:
        if field.kind not in ("number", "duration", "time"):
            raise QueryError(f"{field.name} has no order: use {field.name}=… or {field.name}!=…")
        return _compare(field, term.operator, term.value)
    if term.operator == "!=":
        return _equal(field, term).negated
    return _equal(field, term)


def _search(term: Term) -> Condition:
    """Return the condition of text without a field: a flag, or what to search for."""
    if term.operator == "~":
        return Condition(f"matches(?, {_ALL_TEXT})", (check_pattern(term.value, "im"),))
    field = QUERY_FIELDS.get(known_name(term.value))
    if field is not None and field.kind == "flag" and not term.is_quoted:
        return _equal_value(field, "true")
    has_wildcards = not term.is_quoted
    found = (_holds_text(each, term.value, has_wildcards=has_wildcards) for each in _TEXT_COLUMNS)
    return all_of(tuple(found), is_any=True)


def _equal(field: QueryField, term: Term) -> Condition:
    """Return the condition of ``=`` and ``:``."""
    if field.kind in ("text", "words"):
        return _equal_text(field, term)
    if term.is_quoted and field.kind == "choice":
        return _choice(field, [term.value], is_part=False)
    if term.is_quoted:
        return _equal_value(field, term.value)
    if ".." in term.value and field.kind != "flag" and field.kind != "choice":
        return _between(field, term.value)
    parts = term.value.split(",") if "," in term.value else [term.value]
    if field.kind == "choice":
        return _choice(field, parts, is_part=term.operator == ":")
    return all_of(tuple(_equal_value(field, part) for part in parts), is_any=True)


def _equal_text(field: QueryField, term: Term) -> Condition:
    has_wildcards = "*" in term.value and not term.is_quoted
    is_missing = term.value in ("", "none") and not term.is_quoted
    if field.kind == "words":
        return _has_word(field, term.value, has_wildcards=has_wildcards, is_missing=is_missing)
    if term.operator == ":" and not (is_missing and not term.value):
        return _holds_text(field.sql, term.value, has_wildcards=has_wildcards)
    if is_missing:
        return Condition(f"coalesce({field.sql}, '') IN ('', ?)", (term.value,))
    return _holds_text(field.sql, term.value, has_wildcards=has_wildcards, is_whole=True)


def _has_word(field: QueryField, value: str, *, has_wildcards: bool, is_missing: bool) -> Condition:
    """Return the condition of a word in a list; ``is_missing``: the list is empty."""
    if has_wildcards:
        pattern = rf"(?i:\A{starred(value)}\Z)"
        return Condition(f"matches_word(?, {field.sql})", (pattern,))
    if is_missing:
        return Condition(f"{field.sql} = ?", ("",))
    return _holds_text(f"(' ' || {field.sql} || ' ')", f" {value} ")


def _holds_text(
    sql: str, text: str, *, has_wildcards: bool = False, is_whole: bool = False
) -> Condition:
    """Return the condition that a value contains text, or is it, ignoring case.

    With ``has_wildcards``, ``*`` matches any characters.
    """
    if not text.isascii():  # of other letters, LIKE does not ignore the case
        pattern = starred(text) if has_wildcards else re.escape(text)
        return Condition(
            f"matches(?, {sql})", (rf"(?is:\A{pattern}\Z)" if is_whole else f"(?is:{pattern})",)
        )
    pattern = re.sub(r"([\\%_])", r"\\\1", text)
    if has_wildcards:
        _check_stars(text)
        pattern = pattern.replace("*", "%")
    return Condition(rf"{sql} LIKE ? ESCAPE '\'", (pattern if is_whole else f"%{pattern}%",))


def _equal_value(field: QueryField, value: str) -> Condition:
    match field.kind:
        case "flag":
            known: Value = _flag(field, value)
        case "time":
            begin, end = _period(field, value)
            return Condition(f"{field.sql} >= ? AND {field.sql} < ?", (begin, end))
        case _ if value.lower() == "none":
            known = None
        case _ if value.lower() == field.word:
            known = field.word
        case _:
            known = _number(field, value)
    return Condition(f"({field.sql}) IS ?", (known,))


def _between(field: QueryField, value: str) -> Condition:
    """Return the condition of ``LOW..HIGH`` (inclusive); either end may be omitted."""
    low, _, high = value.partition("..")
    if not low and not high:
        raise QueryError(
            f"{field.name} is {value!r}, but a range needs a number: 2..5, 2.. or ..5."
        )
    bounds = [(">=", low)] * bool(low) + [("<=", high)] * bool(high)
    return all_of(tuple(_compare(field, operator, bound) for operator, bound in bounds))


def _compare(field: QueryField, operator: str, value: str) -> Condition:
    if field.kind == "time":
        begin, end = _period(field, value)
        # "before a day" means before its start, "after a day" after its end
        operator, moment = {">": (">=", end), "<=": ("<", end)}.get(operator, (operator, begin))
        return Condition(f"{field.sql} {operator} ?", (moment,))
    return Condition(f"({field.sql}) {operator} ?", (_number(field, value),))


def _choice(field: QueryField, values: Sequence[str], *, is_part: bool) -> Condition:
    """Return the condition of one of the choices, or of those that contain a text if none is it."""
    if field.joined_by is not None:
        joined = (_joined(field, value, field.joined_by, is_part=is_part) for value in values)
        return all_of(tuple(joined), is_any=True)
    found = [each for value in values for each in _meant(field, value, is_part=is_part)]
    return _is_one(field, found)


def _joined(field: QueryField, value: str, by: str, *, is_part: bool) -> Condition:
    """Return the condition that these choices are joined; ``is_part``: and possibly others."""
    parts = [_meant(field, part, is_part=is_part) for part in value.split(by)]
    if is_part:
        return all_of(tuple(_is_joined(field, found, by) for found in parts))
    if len(parts) == 1:
        return _is_one(field, parts[0])
    named = {each for found in parts for each in found}
    return _is_one(field, [by.join(each for each in field.choices if each in named)])


def _is_joined(field: QueryField, names: Sequence[str], by: str) -> Condition:
    whole = f"('{by}' || ({field.sql}) || '{by}')"
    return all_of(tuple(_holds_text(whole, f"{by}{name}{by}") for name in names), is_any=True)


def _is_one(field: QueryField, values: Sequence[str]) -> Condition:
    is_one = (Condition(f"({field.sql}) IS ?", (each,)) for each in dict.fromkeys(values))
    return all_of(tuple(is_one), is_any=True)


def _meant(field: QueryField, value: str, *, is_part: bool) -> list[str]:
    """Return the choice of this name, or the ones that match a text."""
    known = ", ".join(field.choices)
    if not value:
        raise QueryError(f"{field.name} has an empty value, but must be one of {known}.")
    pattern = starred(value) if is_part else rf"\A{starred(value)}\Z"
    meant = [each for each in field.choices if each.lower() == value.lower()] or [
        each for each in field.choices if re.search(pattern, each, re.IGNORECASE)
    ]
    if not meant:
        hint = nearest(value, field.choices)
        raise QueryError(f"{field.name} is {value!r}, but must be one of {known}.{hint}")
    return meant


def _flag(field: QueryField, value: str) -> int:
    if value.lower() not in _FLAGS:
        raise QueryError(f"{field.name} is {value!r}, but must be true or false.")
    return _FLAGS[value.lower()]


def _number(field: QueryField, value: str) -> float:
    """Return a number; durations in seconds, shares also from percent.

    Raises:
        QueryError: when it is not a number, or out of range.
    """
    if field.kind == "duration" and _DURATION.fullmatch(value):
        parts = _PART_OF_DURATION.findall(value)
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    try:
        number = float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or (field.name == "age" and number):
        raise QueryError(_number_wanted(field, value))
    if field.is_share and abs(number) > 1:
        least = "-1" if field.name == "gap" else "0"
        raise QueryError(
            f"{field.name} is a fraction from {least} to 1 or a percentage: write {value}%, not "
            f"{value}."
        )
    return number


def _number_wanted(field: QueryField, value: str) -> str:
    if field.kind == "duration":
        return f"{field.name} is {value!r}, but must be a duration such as 90s, 30m, 2h, 7d or 2w."
    wanted = "a number" if field.word is None else f"a number or {field.word}"
    message = f"{field.name} is {value!r}, but must be {wanted}."
    if field.name == "progress":
        return f"{message} To filter by status, use status={value}"
    if field.name == "id_accuracy":
        return f"{message} To search by run id, use run={value}"
    return message


def _period(field: QueryField, value: str) -> tuple[float, float]:
    """Return the start and end (Unix times) of the written day, minute or second."""
    try:
        begin = datetime.fromisoformat(value)
        return begin.timestamp(), (begin + _unit_of(value)).timestamp()
    except (ValueError, OverflowError, OSError):
        hint = f" For a time relative to now, use age<{value}" if _DURATION.fullmatch(value) else ""
        raise QueryError(
            f"{field.name} is {value!r}, but must be a date such as 2025-01-31 or "
            f"2025-01-31T18:00.{hint}"
        ) from None


def _unit_of(moment: str) -> timedelta:
    """Return the length of the smallest written unit of time: a day, a minute or a second."""
    if len(moment) <= len("2025-01-31"):
        return timedelta(days=1)
    return timedelta(minutes=1) if len(moment) <= len("2025-01-31T18:00") else timedelta(seconds=1)


def _matching(field: QueryField, pattern: str) -> Condition:
    """Return the condition of a regular expression found in text, case ignored."""
    if field.kind not in ("text", "words", "choice"):
        raise QueryError(f"{field.name} is not text: use = != < <= > or >=, not ~.")
    function = "matches_word" if field.kind == "words" else "matches"
    return Condition(f"{function}(?, {field.sql})", (check_pattern(pattern),))


def starred(text: str) -> str:
    """Return the regular expression of text in which ``*`` matches any characters."""
    _check_stars(text)
    return ".*".join(re.escape(part) for part in text.split("*"))


def _check_stars(text: str) -> None:
    """Check that the number of wildcards is not too expensive to match."""
    if text.count("*") > _MOST_STARS:
        raise QueryError(
            f"{text!r} has more than {_MOST_STARS} wildcards. To search it literally, quote it."
        )
