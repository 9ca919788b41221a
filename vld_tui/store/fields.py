"""What a query may speak of: every field's name, type and expression."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from engine.protocol import FIELDS
from vld_tui.store.runs import STATUSES

Kind = Literal["number", "flag", "text", "choice", "tags", "time"]


@dataclass(frozen=True)
class QueryField:
    """A field of a run; ``sql`` is an expression over its row.

    ``is_share``: from 0 to 1.
    """

    name: str
    kind: Kind
    sql: str
    choices: tuple[str, ...] = ()
    is_share: bool = False


_KINDS: Final[dict[Any, Kind]] = {bool: "flag", int: "number", float: "number", str: "text"}


def _spec_fields() -> Iterator[QueryField]:
    """Yield the fields of a spec, but for lists, which are not compared."""
    for info in FIELDS.values():
        sql = f"json_extract(spec, '$.{info.name}')"
        base = _plain_type(info.type)
        is_list = get_origin(base) is tuple
        kind = "choice" if info.choices and not is_list else _KINDS.get(base)
        if kind is not None:
            yield QueryField(info.name, kind, sql, info.choices)


def _plain_type(hint: Any) -> Any:
    """Return the type under annotations and ``| None``."""
    if get_origin(hint) is Annotated:
        return _plain_type(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        return _plain_type(next(arg for arg in get_args(hint) if arg is not type(None)))
    return hint


def _measured(name: str) -> QueryField:
    """Return a field that the engine chose, or else the specification asked for."""
    info = FIELDS[name]
    sql = f"coalesce({name}, json_extract(spec, '$.{name}'))"
    return QueryField(name, "choice" if info.choices else "text", sql, info.choices)


_OF_RUN: Final = (
    QueryField("run", "text", "run_id"),
    QueryField("name", "text", "name"),
    QueryField("tag", "tags", "tags"),
    QueryField("note", "text", "note"),
    QueryField("arm", "text", "arm"),
    QueryField("status", "choice", "status", STATUSES),
    QueryField("collapsed", "flag", "collapsed_step IS NOT NULL"),
    QueryField("created", "time", "created_at"),
    QueryField("step", "number", "step"),
    QueryField("selected_step", "number", "selected_step"),
    QueryField("id_accuracy", "number", "id_accuracy", is_share=True),
    QueryField("ood_accuracy", "number", "ood_accuracy", is_share=True),
    QueryField("loss", "number", "loss"),
    QueryField("wall_s", "number", "wall_s"),
    QueryField("steps_per_s", "number", "steps_per_s"),
    QueryField("images_per_s", "number", "images_per_s"),
    QueryField("attempts", "number", "attempts"),
    QueryField("error", "text", "coalesce(error, '')"),
    QueryField("host", "text", "coalesce(host, '')"),
    QueryField("data_digest", "text", "data_digest"),
)

QUERY_FIELDS: Final[dict[str, QueryField]] = {
    field.name: field
    for field in (
        *_spec_fields(),
        *_OF_RUN,
        *(_measured(name) for name in ("device", "precision", "memory_format")),
    )
}
"""Every field a query may use, by name."""

ALIASES: Final[dict[str, str]] = {
    "batch": "batch_size",
    "dropout": "dropout_rate",
    "id": "id_accuracy",
    "ood": "ood_accuracy",
    "run_id": "run",
    "selected": "selected_step",
    "tags": "tag",
    "wall": "wall_s",
    "wd": "weight_decay",
}
"""Short or natural names of fields. ``id`` is the ID accuracy; a run's id is ``run``."""
