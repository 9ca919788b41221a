"""Find finished runs of a study whose recipe has changed since."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from engine.protocol import FIELDS, NOT_RESULT, fields_with, result_differences
from vld_tui.store.query import Query
from vld_tui.store.store import Store
from vld_tui.study.standing import Standing

_PLACES: Final = (*(name for name in fields_with("place") if name != "data_dir"), "seed")
_NOT_TOLD_BY: Final = NOT_RESULT.union(("data_dir",))
"""Fields that do not distinguish the runs of a study."""


class Strays(NamedTuple):
    """The number of such runs, and the newest one's values of the changed recipe fields."""

    runs: int
    values: Mapping[str, Any]


def find_strays(store: Store, standing: Standing) -> Strays | None:
    """Return finished runs that a study does not count only because its recipe has changed, if
    runs are missing.

    Runs that the study itself excludes, by another value of a field that it sets, do not count.

    Raises:
        StoreError: when the history cannot be read.
    """
    study = standing.study
    if not standing.missing:
        return None
    own = set(study.identities)
    named = [*_PLACES, *(name for name in study.declared if name not in _NOT_TOLD_BY)]
    asked = {tuple(getattr(spec, name) for name in named): spec for spec in standing.missing}
    strays = [
        (run.spec, spec)
        for run in store.runs.find(Query.parse(f'tag:"{study.name}" status:finished'))
        if run.combination is None
        and run.identity not in own
        and (spec := asked.get(tuple(getattr(run.spec, name) for name in named))) is not None
    ]
    if not strays:
        return None
    values: dict[str, Any] = {}
    for stray, spec in strays:  # a seed of 0 hides that the split followed it
        for name in result_differences(stray, spec):
            values.setdefault(name, getattr(stray, name))
    return Strays(len(strays), {name: values[name] for name in FIELDS if name in values})
