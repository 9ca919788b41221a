"""Finished runs of a study whose recipe has changed since they were made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from engine.protocol import FIELDS, NOT_RESULT, fields_with, result_differences
from vld_tui.store.query import Query
from vld_tui.store.store import Store
from vld_tui.study.standing import Standing

_PLACES: Final = (*(name for name in fields_with("place") if name != "data_dir"), "seed")
_NOT_TOLD_BY: Final = NOT_RESULT.union(("data_dir",))
"""Fields that tell no runs of a study apart."""


class Strays(NamedTuple):
    """How many such runs there are, and their values of the fields in which the recipe differs; of
    several values that of the newest run."""

    runs: int
    values: Mapping[str, Any]


def find_strays(store: Store, standing: Standing) -> Strays | None:
    """Return the finished runs that a study would count but for what it takes from its recipe,
    while runs are missing: the recipe meant something else when they were made.

    Runs that the study left out itself, by another value of a field that it names, are none.

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
        for run in store.list_runs(Query.parse(f'tag:"{study.name}" status:finished'))
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
