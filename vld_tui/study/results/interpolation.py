"""Accuracy along the line between two networks (Zhang & Bottou 2024, figure 1)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from engine.protocol import LastLayer
from engine.protocol.measures import ACCURACY
from vld_tui.runs.run import Run
from vld_tui.store.query import Query
from vld_tui.store.store import Store

METHOD: Final = "interpolation"
ARM_WORDS: Final = {"interpolation": "weights", "representations": "representations"}


class Curve(NamedTuple):
    """Accuracies, shares, at ``shares`` of the second network.

    ``arm`` is ``interpolation`` (of weights) or ``representations``; ``domain`` ``id`` or
    ``ood``.
    """

    arm: str
    domain: str
    shares: tuple[float, ...]
    accuracies: tuple[float, ...]


class Way(NamedTuple):
    """The curves of one run that interpolates; ``starts_at``: from which pre-trained network."""

    run_id: str
    name: str
    dataset: str
    target: str
    curves: tuple[Curve, ...]
    starts_at: LastLayer | None = None


def find_ways(store: Store, parents: Collection[str]) -> list[Run]:
    """Return the runs that interpolate between two of ``parents``, the oldest first."""
    known = store.runs.find(Query.parse(f"arm={METHOD}"))
    return [run for run in known[::-1] if _is_between(run, parents)]


def read_ways(store: Store, runs: Sequence[Run]) -> list[Way]:
    """Return the curves of runs that interpolate; those that measured nothing are left out."""
    ways = []
    for run in runs:
        curves = tuple(
            Curve(
                each.key.arm,
                each.key.shown_domain,
                tuple(step / 100 for step in each.points.steps),
                tuple(each.points.values),
            )
            for each in store.series.all(run.run_id)
            if each.key.name == ACCURACY and each.key.arm in ARM_WORDS and each.key.is_judged
        )  # fmt: skip
        if curves:
            starts_at = run.combination.starts_at if run.combination else None
            target = str(run.target)
            ways.append(Way(run.run_id, run.name, run.dataset, target, curves, starts_at))
    return ways


def _is_between(run: Run, parents: Collection[str]) -> bool:
    if run.combination is None or run.combination.method != METHOD:
        return False
    named = [parent.run_id for parent in run.combination.parents if parent.run_id]
    return bool(named) and all(run_id in parents for run_id in named)
