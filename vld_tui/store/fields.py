"""The fields runs are filtered, sorted and grouped by: name, kind and SQL expression of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from engine.protocol import FIELDS
from vld_tui.runs.run import STATUSES
from vld_tui.store.runs import COLLAPSED, STATUS_SQL
from vld_tui.store.specs import SPEC_JSON, spec_value

Kind = Literal["number", "duration", "flag", "text", "choice", "words", "time"]


@dataclass(frozen=True)
class QueryField:
    """A field of a run; ``sql`` is an expression over its row.

    ``is_share``: from 0 to 1. ``words`` are several, separated by spaces; a ``duration`` is in
    seconds.
    """

    name: str
    kind: Kind
    sql: str
    choices: tuple[str, ...] = ()
    is_share: bool = False
    about: str = ""


_KINDS: Final[dict[Any, Kind]] = {bool: "flag", int: "number", float: "number", str: "text"}


def _spec_fields() -> Iterator[QueryField]:
    """Yield the fields of a spec; one that is a list has its items as words."""
    for info in FIELDS.values():
        if info.base is tuple:
            items = f"SELECT group_concat(value, ' ') FROM json_each({SPEC_JSON}, '$.{info.name}')"
            yield QueryField(info.name, "words", f"coalesce(({items}), '')", about=info.help)
            continue
        kind = "choice" if info.choices else _KINDS[info.base]
        sql = spec_value(info.name)
        yield QueryField(info.name, kind, sql, info.choices, about=info.help)


def _measured(name: str) -> QueryField:
    """Return a field that the engine chose, or else the specification asked for."""
    info = FIELDS[name]
    sql = f"coalesce({name}, {spec_value(name)})"
    kind: Kind = "choice" if info.choices else "text"
    return QueryField(name, kind, sql, info.choices, about=info.help)


_AGE: Final = "((julianday('now') - 2440587.5) * 86400.0 - created_at)"

_OF_RUN: Final = (
    QueryField("run", "text", "run_id", about="The run's id."),
    QueryField("name", "text", "name", about="The run's name."),
    QueryField("tag", "words", "tags", about="One of the run's tags."),
    QueryField("note", "text", "note", about="The run's note."),
    QueryField("arm", "text", "arm", about="How the run predicts."),
    QueryField("target", "text", "target", about=FIELDS["target"].help),
    QueryField("status", "choice", STATUS_SQL, STATUSES, about="The run's status."),
    QueryField("collapsed", "flag", f"ifnull({COLLAPSED}, 0)", about="One class for all."),
    QueryField("created", "time", "created_at", about="When the run was created."),
    QueryField("age", "duration", _AGE, about="Time since the run was created."),
    QueryField("step", "number", "step", about="Latest step."),
    QueryField("selected_step", "number", "selected_step", about="Step with the best ID accuracy."),
    QueryField("id_accuracy", "number", "id_accuracy", is_share=True,
               about="ID accuracy at the selected step: a share or a percent."),
    QueryField("ood_accuracy", "number", "ood_accuracy", is_share=True,
               about="OOD accuracy at the selected step: a share or a percent."),
    QueryField("loss", "number", "loss", about="Latest training loss."),
    QueryField("wall_s", "duration", "wall_s", about="Time the run took."),
    QueryField("steps_per_s", "number", "steps_per_s", about="Steps per second."),
    QueryField("images_per_s", "number", "images_per_s", about="Images per second."),
    QueryField("attempts", "number", "attempts", about="Processes that worked on the run."),
    QueryField("error", "text", "coalesce(damage, error, '')",
               about="Why the run failed, crashed or cannot be read."),
    QueryField("host", "text", "coalesce(host, '')", about="Machine the run ran on."),
    QueryField("data_digest", "text", "data_digest", about="Digest of the images."),
    QueryField("evaluation_precision", "text", "coalesce(evaluation_precision, precision, '')",
               about="Precision of the evaluations."),
)  # fmt: skip

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
    **{
        info.spelled_as_flag: info.name
        for info in FIELDS.values()
        if info.spelled_as_flag != info.name
    },
    "data": "dataset",
    "id": "id_accuracy",
    "id_acc": "id_accuracy",
    "ood": "ood_accuracy",
    "ood_acc": "ood_accuracy",
    "run_id": "run",
    "selected": "selected_step",
    "tags": "tag",
    "time": "wall_s",
    "wall": "wall_s",
    "wd": "weight_decay",
    "λ": "dropout_rate",
}
"""Other names of fields: the option that sets a field, the heading of its column, an abbreviation.
``id`` is the ID accuracy; a run's id is ``run``."""


def known_name(name: str) -> str:
    """Return the name of a field that is written in another way, such as ``DROPOUT-RATE``."""
    plain = name.lower().replace("-", "_")
    return ALIASES.get(plain, plain)


def is_field(name: str) -> bool:
    """Say whether this is the name of a field, or another name of one."""
    return known_name(name) in QUERY_FIELDS
