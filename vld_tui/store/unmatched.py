"""Why a query keeps no run: words that no run has, and values that no run has in a field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from engine.protocol import nearest
from vld_tui.runs.run import STATUSES
from vld_tui.store.comparison import SEARCHED, condition_of, find_field
from vld_tui.store.database import Database
from vld_tui.store.errors import QueryError
from vld_tui.store.fields import ALIASES, QUERY_FIELDS
from vld_tui.store.query import Query
from vld_tui.store.terms import Term

_CONSIDERED: Final = 1000
"""Nearest values are looked for among as many."""


def refuse_unknown_words(database: Database, query: Query) -> None:
    """Refuse a word without a field that no run has: it may be a field or a value mistyped.

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
        hint = f"{word} is a field: write {word}=VALUE."
    else:
        near = nearest(word, [*QUERY_FIELDS, *ALIASES]).strip()
        hint = near or "Fields: vld ls --fields."
    return (
        f"No run has {word!r} in its {SEARCHED}. {hint}\n"
        f"To search text that no run may have, put it in quotes: '\"{word}\"'"
    )
