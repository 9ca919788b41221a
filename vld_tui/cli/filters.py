"""The ``--where`` and ``--sort`` options, and the fields they accept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final

import typer

from vld_tui.cli.command import proposes
from vld_tui.store.fields import ALIASES, QUERY_FIELDS, QueryField
from vld_tui.store.query import EXAMPLE
from vld_tui.words.columns import Column, table_lines

LANGUAGE: Final = (
    "Filters compare a field with a value: = != < <= > >=, ':' (contains), '~' (regular "
    "expression). Combine them with and, or, not and parentheses. Values: 1..5 is a range, 1,2 "
    "means either, re* matches a prefix. A word without a field searches id, name, tags, note, "
    "data set and target. Example: --where 'dropout >= 0.9 and not (status:failed or tag:old)'. "
    "Fields: vld ls --fields."
)


def where_option(about: str) -> Any:
    """Return the ``--where`` option of a command with its help."""
    return typer.Option("--where", metavar="FILTER", help=about, autocompletion=proposes("filter"))


WhereOption = Annotated[
    str | None,
    where_option(f"Only matching runs, e.g. '{EXAMPLE}'."),
]
MatchingOption = Annotated[
    str | None, where_option("Select all matching runs; filters as for vld ls.")
]
FinishedOption = Annotated[
    str | None, where_option("Select all matching finished runs; filters as for vld ls.")
]
SortOption = Annotated[
    str | None,
    typer.Option(
        "--sort", metavar="FIELD",
        help="Sort by a field, such as ood_accuracy; -FIELD: descending; A,-B: several.",
        autocompletion=proposes("sort"),
    ),
]  # fmt: skip

_COLUMNS: Final = (
    Column("field", rank=100),
    Column("other names", rank=97),
    Column("kind", rank=99),
    Column("about", rank=98),
)
_KINDS: Final = {"time": "date"}


def field_records() -> Iterator[dict[str, object]]:
    """Yield every field of filters and sorting as plain values."""
    for field in _sorted_fields():
        yield {
            "name": field.name,
            "aliases": _aliases(field),
            "kind": field.kind,
            "choices": list(field.choices),
            "about": field.about,
        }


def field_lines() -> Iterator[str]:
    """Yield the fields as a table, heading first."""
    rows = [_row(field) for field in _sorted_fields()]
    yield from table_lines(_COLUMNS, rows)


def _sorted_fields() -> list[QueryField]:
    return sorted(QUERY_FIELDS.values(), key=lambda field: field.name)


def _aliases(field: QueryField) -> list[str]:
    return [alias for alias, name in ALIASES.items() if name == field.name]


def _row(field: QueryField) -> tuple[str, ...]:
    choices = f" ({' | '.join(field.choices)})" if field.choices else ""
    kind = _KINDS.get(field.kind, field.kind)
    return (field.name, " ".join(_aliases(field)), kind, field.about + choices)
