"""Read runs from their rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import force_setattr

from engine.protocol import (
    FIELDS,
    MEASURED_ON,
    NO_TARGET,
    NOT_RESULT,
    OWN_FIELDS,
    SHARED_FIELDS,
    CombinationError,
    CombinationSpec,
    RunSpec,
    Summary,
    decode_combination,
)
from engine.protocol.phases import Phase
from vld_tui.runs.run import DAMAGED, GONE, STATUSES, UNKNOWN_SPEC, Run
from vld_tui.store.columns import NOTHING, TEXT, WHOLE, Kinds, RowKinds, is_time, kinds_of
from vld_tui.store.database import UNREADABLE, Database, Parameters, in_parts
from vld_tui.store.errors import RunNotFound, missing_folder_advice
from vld_tui.store.specs import decode_stored_spec

IS_SOUND_SQL: Final = f"gone = 0 AND damage IS NULL AND key NOT IN (SELECT key FROM {UNREADABLE})"
"""SQL condition for runs that are not known to be damaged or gone."""

STATUS_SQL: Final = f"iif(gone, '{GONE}', iif({IS_SOUND_SQL}, status, '{DAMAGED}'))"
"""A run's status as an expression over its row."""
TRAINED_FIELDS: Final = tuple(
    name for name in FIELDS if name not in {*OWN_FIELDS, *SHARED_FIELDS, *NOT_RESULT, *MEASURED_ON}
)
"""Training fields, in which combined runs may differ.

The first one's specification determines what the combination is measured on."""
COLLAPSED_SQL: Final = (
    "ifnull(collapsed_step IS NOT NULL AND (recovered_step IS NULL AND (selected_step IS NULL OR "
    "status IN ('starting', 'running')) OR selected_step >= collapsed_step AND (recovered_step IS "
    "NULL OR selected_step < recovered_step)), 0)"
)
"""Whether the selected step has collapsed; for a running run, the last step."""
HAS_NAMESAKE_SQL: Final = (
    "EXISTS (SELECT 1 FROM runs AS older WHERE older.name = runs.name AND older.key < runs.key)"
)
"""Whether an older run has the same name."""
_EXPRESSIONS: Final = {
    "collapsed": COLLAPSED_SQL,
    "is_held": "queue_held",
    "has_job": "job_open",
    "has_namesake": HAS_NAMESAKE_SQL,
}
"""The expressions of fields that are not columns of the same name."""
decode_measures: Final = msgspec.json.Decoder(Summary).decode
decode_phase: Final = msgspec.json.Decoder(Phase).decode
_DECODERS: Final[dict[str, Callable[[Any], Any]]] = {
    "tags": lambda text: tuple(text.split()),
    "collapsed": bool,
    "has_namesake": bool,
    "spec": decode_stored_spec,
    "domains": msgspec.json.Decoder(dict[str, float]).decode,
    "combination": lambda text: None if text is None else decode_combination(text),
    "measures": decode_measures,
    "phase": lambda text: None if text is None else decode_phase(text),
}
"""How the fields are read that are not stored as they are."""
_IN_COLUMNS: Final = tuple(
    field for field in msgspec.structs.fields(Run) if field.name not in ("steps", "mixed_fields")
)


def _kinds(field: msgspec.structs.FieldInfo) -> Kinds:
    if field.name in _DECODERS and field.type is not bool:
        return TEXT + NOTHING * (field.default is None)
    return WHOLE if field.type is bool else kinds_of(field.type)


_COLUMNS: Final = RowKinds(
    {
        **{_EXPRESSIONS.get(field.name, field.name): _kinds(field) for field in _IN_COLUMNS},
        "target": TEXT + NOTHING,
    }
)
"""The columns of a run in the order of its fields, with the types of their values; then the target
that the engine reported."""
_NAMES: Final = [field.name for field in _IN_COLUMNS]
_SELECTED: Final = (
    "key, gone, damage, "
    "EXISTS (SELECT 1 FROM arms WHERE arms.run = runs.key "
    "AND NOT (json_valid(arms.domains) IS 1 AND json_valid(arms.measures) IS 1)), "
    f"{', '.join(_COLUMNS.columns)}"
)
_CREATED_AT, _STATUS, _SPEC = (_NAMES.index(name) for name in ("created_at", "status", "spec"))
_DECODED: Final = [(_NAMES.index(name), decode) for name, decode in _DECODERS.items()]
_STEPS: Final = [field.name for field in msgspec.structs.fields(Run)].index("steps")


def read_runs(
    database: Database,
    where: str,
    parameters: Parameters = (),
    *,
    order: str = "key",
    offset: int = 0,
    limit: int = -1,
) -> list[Run]:
    """Return the runs of the rows that match ``where``, starting at ``offset``; −1: no limit.

    An invalid row becomes a ``damaged`` run with the reason as its error.

    Raises:
        StoreError: when the database cannot be read.
    """
    chosen = f"WHERE {where} ORDER BY {order} LIMIT {limit} OFFSET {offset}"
    if limit >= 0:  # sorting keys is much faster than sorting whole rows
        chosen = f"WHERE key IN (SELECT key FROM runs {chosen}) ORDER BY {order}"
    database.recheck_unreadable()
    while True:
        rows = database.rows(f"SELECT {_SELECTED} FROM runs {chosen}", parameters)
        read = [_read(*row) for _, *row in rows]
        unreadable = {
            row[0] for row, (_, is_readable) in zip(rows, read, strict=True) if not is_readable
        }
        if not database.note_unreadable(unreadable):
            return _with_mixed_fields(database, [run for run, _ in read])


def read_run(database: Database, key: int) -> Run:
    """Return the run with this key.

    Raises:
        RunNotFound: when it has been deleted.
    """
    runs = read_runs(database, "key = ?", [key])
    if not runs:
        raise RunNotFound("The run has been deleted.")
    return runs[0]


def find_unreadable(database: Database) -> None:
    """Read every row to find the invalid ones.

    Raises:
        StoreError: when the database cannot be read.
    """
    last = -1
    while keys := database.rows(
        "SELECT key FROM runs WHERE key > ? ORDER BY key LIMIT 1000", [last]
    ):
        read_runs(database, "key > ? AND key <= ?", [last, keys[-1][0]])
        last = keys[-1][0]


def _with_mixed_fields(database: Database, runs: list[Run]) -> list[Run]:
    """Add to combining runs the fields in which their parents differ."""
    tasks = [run.task if run.has_spec else None for run in runs]
    found = mixed_fields(database, [each for each in tasks if isinstance(each, CombinationSpec)])
    return [
        msgspec.structs.replace(run, mixed_fields=next(found))
        if isinstance(task, CombinationSpec)
        else run
        for run, task in zip(runs, tasks, strict=True)
    ]


def _read(is_gone: int, damage: str | None, has_bad_arms: int, *row: Any) -> tuple[Run, bool]:
    """Return the run of a row, and whether the row is valid."""
    problem = "the results of its arms are not valid JSON" if has_bad_arms else None
    try:
        _check(row)
        run = _run(row)
    except (msgspec.DecodeError, CombinationError, RecursionError, _RowError) as error:
        problem = str(error).removesuffix(".")
        run = _salvaged(row)
    if is_gone:
        said = missing_folder_advice(run.run_id)
        return msgspec.structs.replace(run, status=GONE, error=said), problem is None
    if problem is None and damage is None:
        return run, True
    if damage is None:
        damage = (
            f"the run's database entry is invalid: {problem}.\n"
            f"Reread it from its folder with vld rebuild, or remove it: vld rm {run.run_id}"
        )
    return msgspec.structs.replace(run, status=DAMAGED, error=damage), problem is None


class _RowError(ValueError):
    """An invalid value in a row."""


def _check(row: Sequence[Any]) -> None:
    """Check the values of a row.

    Raises:
        _RowError: naming the column.
    """
    misfit = _COLUMNS.misfit(row)
    if misfit is None and (math.inf in row or -math.inf in row):
        at = next(at for at, value in enumerate(row) if value in (math.inf, -math.inf))
        misfit = f"{list(_COLUMNS.columns)[at]} is infinite"
    if misfit is not None:
        raise _RowError(misfit)
    if not is_time(row[_CREATED_AT]):
        raise _RowError(f"created_at is {row[_CREATED_AT]:g}")
    if row[_STATUS] not in STATUSES:
        raise _RowError(f"status is {row[_STATUS]!r}")


def _salvaged(row: Sequence[Any]) -> Run:
    """Return the readable parts of a run whose row is invalid."""
    known = dict(zip(_COLUMNS.columns, row, strict=True))
    texts = {
        name: value if isinstance(value := known[name], str) else ""
        for name in ("name", "tags", "note", "arm")
    }
    return Run(
        run_id=str(known["run_id"]),
        name=texts["name"] or str(known["run_id"]),
        tags=tuple(texts["tags"].split()),
        note=texts["note"],
        created_at=known["created_at"] if is_time(known["created_at"]) else 0.0,
        status=DAMAGED,
        collapsed=False,
        spec=UNKNOWN_SPEC,
        step=0,
        steps=0,
        trashed_at=known["trashed_at"] if is_time(known["trashed_at"]) else None,
        arm=texts["arm"],
        identity=known["identity"] if isinstance(known["identity"], str) else None,
        mixed_fields=tuple(FIELDS),
    )


def _run(row: Sequence[Any]) -> Run:
    *values, reported_target = row
    for at, decode in _DECODED:
        values[at] = decode(values[at])
    spec = values[_SPEC]
    if spec.target is None and reported_target == NO_TARGET:  # the images have one domain
        force_setattr(spec, "target", NO_TARGET)
    values.insert(_STEPS, spec.steps)
    return Run(*values)


def mixed_fields(
    database: Database, combining: Sequence[CombinationSpec]
) -> Iterator[tuple[str, ...]]:
    """Yield, for each combining run, the fields in which its parents differ.

    Its own specification has the values of the first parent. If a parent is unknown, no field is
    assumed to be common.

    Raises:
        StoreError: when the database cannot be read.
    """
    known = _specs(database, sorted({run for each in combining for run in _runs(each)}))
    for task in combining:
        own, parents = task.spec, [known.get(run) for run in _runs(task)]
        yield tuple(
            name
            for name in TRAINED_FIELDS
            if any(each is None or getattr(each, name) != getattr(own, name) for each in parents)
        )


def _runs(task: CombinationSpec) -> list[str]:
    """Return the parents that are runs, not the pre-trained network."""
    return [parent.run_id for parent in task.combination.parents if parent.run_id]


def _specs(database: Database, run_ids: Sequence[str]) -> dict[str, RunSpec]:
    found: dict[str, RunSpec] = {}
    for places, part in in_parts(run_ids):
        rows = database.rows(f"SELECT run_id, spec FROM runs WHERE run_id IN ({places})", part)
        for run_id, text in rows:
            try:
                found[run_id] = decode_stored_spec(text)
            except msgspec.DecodeError:  # reported where that run is read itself
                continue
    return found
