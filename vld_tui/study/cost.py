"""Estimate the cost of a study's runs from earlier runs."""

from __future__ import annotations

import socket
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Final

from engine.protocol import FIELDS, RunSpec, fields_with
from vld_tui.runs.run import Run
from vld_tui.store.store import Store
from vld_tui.study.forecast import DECIDING, Forecast, ImageCounts, checkpoint_bytes, forecast

Counts = Callable[[str, str | None], ImageCounts | None]
"""Counts of a data set's images, by name and folder; None: unknown."""

_COUNTED: Final = tuple(name for name in FIELDS if name not in fields_with("implied"))
_deciding: Final = attrgetter(*DECIDING)


@dataclass(frozen=True)
class FieldCost:
    """A field and its number of values; with only one, the study costs that fraction."""

    name: str
    values: int


@dataclass(frozen=True)
class StudyCost:
    """The cost of runs: total sequential seconds, and bytes kept on disk.

    ``wall_s`` excludes ``unknown`` runs without a comparable earlier run. ``wall_from`` is the run
    that most of the estimate is based on. ``disk_bytes`` None: unknown. ``largest``: the field
    with the most values, or None if none has several.
    """

    runs: int
    wall_s: float = 0.0
    unknown: int = 0
    wall_from: Run | None = None
    disk_bytes: int | None = None
    largest: FieldCost | None = None


def cost_of(store: Store, left: Sequence[tuple[RunSpec, float]], counts: Counts) -> StudyCost:
    """Return the cost of runs on this machine, given each spec and the share left to do.

    Raises:
        StoreError: when the history cannot be read.
    """
    alike: dict[Any, list[RunSpec]] = defaultdict(list)
    for spec, _ in left:
        alike[_deciding(spec)].append(spec)
    host = socket.gethostname()
    forecasts = {
        key: forecast(
            store, group[0], host=host, counts=counts(group[0].dataset, group[0].data_dir)
        )
        for key, group in alike.items()
    }
    walls = [(forecasts[_deciding(spec)].wall_s, share) for spec, share in left]
    known = [wall_s * share for wall_s, share in walls if wall_s is not None]
    return StudyCost(
        runs=len(left),
        wall_s=sum(known),
        unknown=len(left) - len(known),
        wall_from=_basis(alike, forecasts),
        disk_bytes=_disk(alike, forecasts),
        largest=_largest(spec for spec, _ in left),
    )


def with_disk(
    cost: StudyCost, specs: Iterable[RunSpec], network_sizes: Mapping[str, int]
) -> StudyCost:
    """Return the cost with the disk space of all runs, from earlier runs or, failing that, from
    the sizes of their networks."""
    specs = list(specs)
    if cost.disk_bytes is not None or not {spec.model for spec in specs} <= network_sizes.keys():
        return cost
    total = sum(checkpoint_bytes(spec, network_sizes[spec.model]) for spec in specs)
    return replace(cost, disk_bytes=total)


def seconds_left(live: Iterable[Run], cost: StudyCost, devices: int) -> float:
    """Return the time (s) until everything is done; ``cost`` excludes the ``live`` runs."""
    running_s = max((run.seconds_left or 0.0 for run in live), default=0.0)
    return running_s + cost.wall_s / devices


def _basis(alike: dict[Any, list[RunSpec]], forecasts: dict[Any, Forecast]) -> Run | None:
    def seconds(key: Any) -> float:
        return (forecasts[key].wall_s or 0.0) * len(alike[key])

    return forecasts[max(alike, key=seconds)].wall_from if alike else None


def _disk(alike: dict[Any, list[RunSpec]], forecasts: dict[Any, Forecast]) -> int | None:
    total = 0
    for key, group in alike.items():
        disk_bytes = forecasts[key].disk_bytes
        if disk_bytes is None:
            return None
        total += disk_bytes * len(group)
    return total


def value_counts(specs: Iterable[RunSpec]) -> dict[str, int]:
    """Return the number of values of each field; targets are counted per data set."""
    values: dict[str, set[Any]] = {name: set() for name in FIELDS}
    targets: dict[tuple[str, str | None], set[str | None]] = defaultdict(set)
    for spec in specs:
        for name, found in values.items():
            found.add(getattr(spec, name))
        targets[spec.dataset, spec.data_dir].add(spec.target)
    counts = {name: len(found) for name, found in values.items()}
    return {**counts, "target": max(map(len, targets.values()), default=0)}


def _largest(specs: Iterable[RunSpec]) -> FieldCost | None:
    counts = value_counts(specs)
    name = max(_COUNTED, key=lambda each: counts[each])
    return FieldCost(name, counts[name]) if counts[name] > 1 else None
