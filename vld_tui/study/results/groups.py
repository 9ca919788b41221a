"""Group runs that differ only in their seed, or by the images they used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from engine.protocol import (
    FIELDS,
    OWN_FIELDS,
    SEEDS,
    Combination,
    RunSpec,
    configuration_identity,
    shown_value,
)
from vld_tui.runs.run import Run
from vld_tui.runs.statistics import Estimate, Reading, over_seeds


class RunGroup(NamedTuple):
    """Runs of one configuration."""

    runs: tuple[Run, ...]

    @property
    def name(self) -> str:
        """Return the name of the only run, or what the names have in common."""
        first = self.runs[0]
        if len(self.runs) == 1:
            return first.name
        names = {run.name_without_seed for run in self.runs}
        return names.pop() if len(names) == 1 else first.name

    @property
    def combination(self) -> Combination | None:
        """Return what the runs combine, or None if they train a network."""
        return self.runs[0].combination

    def estimate(self, measured: Callable[[Run], float | None]) -> Estimate | None:
        """Return the mean over seeds of a measured value, skipping runs without it.

        Runs of one seed count as one, since they are not independent.
        """
        return over_seeds(
            Reading(None, None, (run.spec.seed, run.spec.trial_seed), value)
            for run in self.runs
            if (value := measured(run)) is not None
        )

    def values(self, field: str) -> tuple[Any, ...]:
        """Return the distinct values of a spec field in the runs; empty if it does not apply."""
        if self.combination and field in (*OWN_FIELDS, *self.runs[0].mixed_fields):
            return ()
        return tuple(dict.fromkeys(getattr(run.spec, field) for run in self.runs))


def group_by_seed(runs: Iterable[Run]) -> list[RunGroup]:
    """Group runs that differ only in their seeds, in order of first appearance."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        alike = configuration_identity(run.task)
        groups.setdefault(alike, []).append(run)
    return [RunGroup(tuple(members)) for members in groups.values()]


def differing_fields(groups: Sequence[RunGroup]) -> list[str]:
    """Return the specification fields in which groups differ; seeds if they agree in all others."""
    found = [
        name
        for name in FIELDS
        if name not in SEEDS and len({group.values(name) for group in groups} - {()}) > 1
    ]
    if len(groups) > 1 and not found:
        return [name for name in SEEDS if len({group.values(name) for group in groups}) > 1]
    return found


def group_labels(groups: Sequence[RunGroup]) -> list[str]:
    """Return the labels of groups, with their numbers of runs."""
    firsts = [group.runs[0] for group in groups]
    told = distinctions([run.name_without_seed for run in firsts], firsts)
    return [
        f"{group.name}{each}" + (f" ×{len(group.runs)}" if len(group.runs) > 1 else "")
        for group, each in zip(groups, told, strict=True)
    ]


def distinctions(names: Sequence[str], runs: Sequence[Run]) -> list[str]:
    """Return suffixes that distinguish equal names, such as `` steps 50``; empty for unique ones.

    A field is added if the fields before it leave some names equal; seeds come last. Runs with
    equal settings get the end of their id, such as `` #x7qa``.
    """
    alike: dict[str, list[RunSpec]] = {}
    for name, run in zip(names, runs, strict=True):
        alike.setdefault(name, []).append(run.spec)
    fields = {name: _telling_fields(members) for name, members in alike.items()}
    told = [
        "".join(
            f" {FIELDS[field].label} {shown_value(getattr(run.spec, field))}"
            for field in fields[name]
        )
        for name, run in zip(names, runs, strict=True)
    ]
    seen = Counter(zip(names, told, strict=True))
    return [
        each + run.suffix if seen[name, each] > 1 else each
        for name, each, run in zip(names, told, runs, strict=True)
    ]


def _telling_fields(specs: Sequence[RunSpec]) -> list[str]:
    """Return fields that together distinguish these groups, as far as possible."""
    found: list[str] = []
    told: list[tuple[Any, ...]] = [() for _ in specs]
    for field in (*(name for name in FIELDS if name not in SEEDS), *SEEDS):
        longer = [(*each, getattr(spec, field)) for each, spec in zip(told, specs, strict=True)]
        if len(set(longer)) > len(set(told)):
            found.append(field)
            told = longer
    return found


def image_versions(runs: Iterable[Run]) -> dict[str, list[list[Run]]]:
    """Return the runs by their images, for each data set whose images changed.

    Versions are in order of their newest run, and so are the runs in each. Runs of which it is
    not known are left out.
    """
    found: dict[str, dict[str, list[Run]]] = {}
    for run in sorted(runs, key=lambda run: run.created_at):
        if run.data_digest:
            found.setdefault(run.dataset, {}).setdefault(run.data_digest, []).append(run)
    return {
        dataset: sorted(versions.values(), key=lambda alike: alike[-1].created_at)
        for dataset, versions in found.items()
        if len(versions) > 1
    }
