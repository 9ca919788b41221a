"""Fields for filtering, sorting and grouping runs: name, kind and SQL expression."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from engine.protocol import FIELDS, MEASURES
from vld_tui.runs.run import STATUSES
from vld_tui.store.rows import COLLAPSED_SQL, STATUS_SQL
from vld_tui.store.specs import SPEC_JSON, spec_value

Kind = Literal["number", "duration", "flag", "text", "choice", "words", "time"]


@dataclass(frozen=True)
class QueryField:
    """A field of a run; ``sql`` is an expression over its row.

    ``is_share``: from 0 to 1. ``words`` are separated by spaces; a ``duration`` is in
    seconds. ``word``: text that a number may be instead; it is sorted after all numbers.
    ``joined_by`` separates several choices in one value.
    """

    name: str
    kind: Kind
    sql: str
    choices: tuple[str, ...] = ()
    is_share: bool = False
    about: str = ""
    word: str | None = None
    joined_by: str | None = None


_KINDS: Final[dict[Any, Kind]] = {bool: "flag", int: "number", float: "number", str: "text"}


def _spec_fields() -> Iterator[QueryField]:
    """Yield the fields of a spec; a list's items are words."""
    for info in FIELDS.values():
        if info.base is tuple:
            items = f"SELECT group_concat(value, ' ') FROM json_each({SPEC_JSON}, '$.{info.name}')"
            yield QueryField(info.name, "words", f"coalesce(({items}), '')", about=info.help)
            continue
        kind = "choice" if info.choices else _KINDS[info.base]
        sql = spec_value(info.name)
        yield QueryField(info.name, kind, sql, info.choices, about=info.help, word=info.word,
                         joined_by=info.joined_by)  # fmt: skip


def _measured(name: str) -> QueryField:
    """Return a field that the engine chose, else the value in the specification."""
    info = FIELDS[name]
    sql = f"coalesce({name}, {spec_value(name)})"
    kind: Kind = "choice" if info.choices else "text"
    return QueryField(name, kind, sql, info.choices, about=info.help)


_AGE: Final = "((julianday('now') - 2440587.5) * 86400.0 - created_at)"

_OF_RUN: Final = (
    QueryField("run", "text", "run_id", about="Run id."),
    QueryField("name", "text", "name", about="Run name."),
    QueryField("tag", "words", "tags", about="Tag of the run."),
    QueryField("note", "text", "note", about="Note on the run."),
    QueryField("arm", "text", "arm", about="How the run makes predictions."),
    QueryField("target", "text", "target", about=FIELDS["target"].help),
    QueryField("status", "choice", STATUS_SQL, STATUSES, about="Status of the run."),
    QueryField("collapsed", "flag", COLLAPSED_SQL,
               about="Whether it predicts one class for every image."),
    QueryField("created", "time", "created_at", about="Creation date."),
    QueryField("age", "duration", _AGE, about="Time since the run was created."),
    QueryField("step", "number", "step", about="Latest step."),
    QueryField("selected_step", "number", "selected_step",
               about="Best step on ID validation, see select_on."),
    QueryField("progress", "number", f"(1.0 * step / nullif({spec_value('steps')}, 0))",
               is_share=True, about="Steps done (fraction or percentage)."),
    QueryField("id_accuracy", "number", "id_accuracy", is_share=True,
               about="ID accuracy at the selected step (fraction or percentage)."),
    QueryField("ood_accuracy", "number", "ood_accuracy", is_share=True,
               about="OOD accuracy at the selected step (fraction or percentage)."),
    QueryField("gap", "number", "(ood_accuracy - id_accuracy)", is_share=True,
               about="OOD minus ID accuracy (fraction or percentage)."),
    QueryField("worst", "number",
               "(SELECT min(value) FROM json_each(iif(json_valid(domains), domains, '{}')))",
               is_share=True, about="Accuracy on the worst domain (fraction or percentage)."),
    QueryField("loss", "number", "loss", about="Latest training loss."),
    QueryField("wall_s", "duration", "wall_s", about="Time spent running."),
    QueryField("steps_per_s", "number", "steps_per_s", about="Steps per second."),
    QueryField("images_per_s", "number", "images_per_s", about="Images per second."),
    QueryField("attempts", "number", "attempts", about="Number of attempts (engine processes)."),
    QueryField("error", "text", "iif(gone, 'gone', coalesce(damage, error, ''))",
               about="Why the run failed, crashed or cannot be read."),
    QueryField("host", "text", "coalesce(host, '')", about="Host name of the machine."),
    QueryField("gpu", "text", "coalesce(gpu, '')", about="GPU assigned by the queue."),
    QueryField("data_digest", "text", "data_digest", about="Digest of the images."),
    QueryField("evaluation_precision", "text", "coalesce(evaluation_precision, precision, '')",
               about="Precision of the evaluations."),
)  # fmt: skip


def _of_measures() -> Iterator[QueryField]:
    """Yield the ID and OOD value of each measure at the selected step."""
    known = "iif(json_valid(measures), measures, NULL)"
    for measure in MEASURES.values():
        for place, which in measure.places:
            sql = f"json_extract({known}, '$.{measure.name}[{place}]')"
            about = f"{which.upper()}: {measure.help}"
            is_share = measure.unit == "share"
            yield QueryField(
                f"{which}_{measure.name}", "number", sql, is_share=is_share, about=about
            )


QUERY_FIELDS: Final[dict[str, QueryField]] = {
    field.name: field
    for field in (
        *_spec_fields(),
        *_OF_RUN,
        *_of_measures(),
        *(_measured(name) for name in ("device", "precision", "memory_format")),
    )
}
"""Every field of the query language, by name."""

ALIASES: Final[dict[str, str]] = {
    **{
        info.spelled_as_flag: info.name
        for info in FIELDS.values()
        if info.spelled_as_flag != info.name
    },
    **{
        f"{which}_{measure.label.lower().replace(' ', '_')}": f"{which}_{measure.name}"
        for measure in MEASURES.values()
        for _, which in measure.places
        if measure.label.lower().replace(" ", "_") != measure.name
    },
    "data": "dataset",
    "id": "id_accuracy",
    "id_acc": "id_accuracy",
    "images/s": "images_per_s",
    "lambda": "dropout_rate",
    "ood": "ood_accuracy",
    "ood_acc": "ood_accuracy",
    "ood_id": "gap",
    "prediction": "arm",
    "run_id": "run",
    "selected": "selected_step",
    "speed": "images_per_s",
    "state": "status",
    "tags": "tag",
    "time": "wall_s",
    "wall": "wall_s",
    "wd": "weight_decay",
    "λ": "dropout_rate",
}
"""Aliases of fields: the option that sets it, its column heading, an abbreviation. ``id`` is the ID
accuracy; a run's id is ``run``."""


def known_name(name: str) -> str:
    """Return the normalised name of a field, such as for ``DROPOUT-RATE``."""
    plain = re.sub(r"[-−_]+", "_", name.lower())
    return ALIASES.get(plain, plain)


def shown_name(name: str) -> str:
    """Return a field as users read and type it, such as ``dropout``."""
    return FIELDS[name].spelled_as_flag if name in FIELDS else name


def is_field(name: str) -> bool:
    """Return whether this is the name or alias of a field."""
    return known_name(name) in QUERY_FIELDS
