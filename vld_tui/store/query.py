"""The filter language for runs: ``dropout>=0.9 and (target=re* or not tag:best)``.

Adjacent terms are combined with ``and``; ``or``, ``not`` (or a leading ``-``) and parentheses work
too. ``field=value`` and ``field!=value`` compare; ``<``, ``<=``, ``>`` and ``>=`` apply to numbers,
durations and dates; ``:`` searches inside text and is ``=`` otherwise; ``~`` is a regular
expression. ``1..5`` is a range, ``1,2,5`` a choice, ``re*`` a prefix. A flag alone means true. Any
other word alone is searched in id, name, tags, note, data set and target, and must occur in some
run unless it is quoted. Values with spaces need quotes (single or double); quoted text is taken
literally. Accuracies are fractions or percentages: ``ood>0.5``, ``ood>50%``. ``none`` is a missing
value; ``tag=`` finds runs without tags.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Self

import msgspec

from engine.protocol import nearest
from vld_tui.runs.run import DAMAGED, STATUSES
from vld_tui.store.comparison import (
    SEARCHED,
    Condition,
    Value,
    all_of,
    condition_of,
    find_field,
)
from vld_tui.store.database import Database
from vld_tui.store.errors import QueryError
from vld_tui.store.fields import ALIASES, QUERY_FIELDS, known_name
from vld_tui.store.rows import find_unreadable
from vld_tui.store.terms import Joined, Not, Term, Tree, check_text, parse_terms

EXAMPLE: Final = "dropout>=0.9 dataset=emoji (status:running or tag:best)"
"""An example of the language."""
_CONSIDERED: Final = 1000
"""How many values are searched for similar ones."""


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

    @property
    def words(self) -> tuple[Term, ...]:
        """Return the unquoted search words, which must occur in some run."""
        return tuple(
            term for term in self.terms
            if term.field is None and not term.is_quoted and not _is_flag(term.value)
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
    if name.startswith("-"):
        return f"{field.sql} DESC"  # NULLs come last in descending order
    return f"{field.sql} ASC NULLS LAST"


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
