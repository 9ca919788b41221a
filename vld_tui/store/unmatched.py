"""Explain empty results: search words and field values that no run has."""

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
"""How many values are searched for similar ones."""


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
