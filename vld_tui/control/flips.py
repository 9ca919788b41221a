"""Mistakes of a run against another's, and which runs it can be compared with."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from engine.protocol import Predictions, PredictionsError, RunSpec, run_identity
from vld_tui.runs.flips import Flips, FlipsError, compare_images
from vld_tui.runs.run import GONE, NOT_READABLE, Run
from vld_tui.store.errors import StoreError, missing_folder_advice
from vld_tui.store.store import Store

MOST_PARTNERS: Final = 5_000
"""Maximum number of runs that are offered for a comparison."""


class Partner(NamedTuple):
    """A run to compare another one with, and why it is offered first; empty: it is not."""

    run: Run
    why: str


def read_flips(store: Store, first: Run, second: Run, domain: str | None = None) -> Flips:
    """Compare the mistakes of two runs on a domain; None: the target of both.

    Raises:
        FlipsError: when they cannot be compared.
    """
    if first.run_id == second.run_id:
        raise FlipsError("Name two different runs to compare their mistakes.")
    return compare_images(_read(store, first), _read(store, second), domain)


def erm_twin(store: Store, run: Run) -> Run | None:
    """Return the newest evaluated run that differs only in having no dropout, if there is one."""
    if run.combination is not None or run.spec.dropout_rate == 0:
        return None
    without = msgspec.structs.replace(run.spec, dropout_rate=0.0)
    default = RunSpec(dataset="", model="").masks
    alike = dict.fromkeys((without, msgspec.structs.replace(without, masks=default)))
    by_identity = store.runs.by_identity([run_identity(spec) for spec in alike])
    twins = [each for runs in by_identity.values() for each in runs]
    evaluated = [each for each in twins if each.selected_step is not None]
    return max(evaluated, key=lambda each: each.created_at, default=None)


def partners(store: Store, run_id: str, marked: Sequence[str] = ()) -> list[Partner]:
    """Return the other runs: the marked ones, the ERM twin, the last one, then the rest."""
    run = store.runs.get(run_id)
    recent = store.runs.find(limit=MOST_PARTNERS)
    named: dict[str, Partner] = {}
    for each in _known(store, marked):
        named.setdefault(each.run_id, Partner(each, "marked"))
    if (twin := erm_twin(store, run)) is not None:
        named.setdefault(twin.run_id, Partner(twin, "ERM twin: no dropout, same seed"))
    others = [each for each in recent if each.run_id != run_id and each.status not in NOT_READABLE]
    for each in others[:1]:
        named.setdefault(each.run_id, Partner(each, "last run"))
    for each in sorted(others, key=lambda each: not _has_same_target(each, run)):
        named.setdefault(each.run_id, Partner(each, ""))
    named.pop(run_id, None)
    return [*itertools.islice(named.values(), MOST_PARTNERS)]


def _has_same_target(one: Run, other: Run) -> bool:
    return (one.spec.dataset, one.target) == (other.spec.dataset, other.target)


def _known(store: Store, run_ids: Sequence[str]) -> list[Run]:
    found = []
    for run_id in run_ids:
        try:
            found.append(store.runs.get(run_id))
        except StoreError:  # deleted in the meantime
            continue
    return found


def _read(store: Store, run: Run) -> Predictions:
    if run.status == GONE:
        raise FlipsError(missing_folder_advice(run.run_id))
    try:
        found = store.runs.run_dir(run.run_id).read_predictions()
    except PredictionsError as error:
        raise FlipsError(f"{run.label}: predictions.json cannot be read: {error}") from None
    if found is None:
        raise FlipsError(
            f"{run.label} has no predictions yet: a run stores them at its first evaluation."
        )
    return found
