"""Fields in which the parents of a combining run differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from engine.protocol import (
    FIELDS,
    MEASURED_ON,
    NOT_RESULT,
    OWN_FIELDS,
    SHARED_FIELDS,
    CombinationSpec,
    RunSpec,
)
from vld_tui.store.database import MOST_AT_ONCE, Database
from vld_tui.store.specs import decode_stored_spec

TRAINED_FIELDS: Final = tuple(
    name for name in FIELDS if name not in {*OWN_FIELDS, *SHARED_FIELDS, *NOT_RESULT, *MEASURED_ON}
)
"""Training fields, in which combined runs may differ.

The first one's specification determines what the combination is measured on."""


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
    for start in range(0, len(run_ids), MOST_AT_ONCE):
        asked = run_ids[start : start + MOST_AT_ONCE]
        rows = database.rows(
            f"SELECT run_id, spec FROM runs WHERE run_id IN ({', '.join('?' * len(asked))})", asked
        )
        for run_id, text in rows:
            try:
                found[run_id] = decode_stored_spec(text)
            except msgspec.DecodeError:  # reported where that run is read itself
                continue
    return found
