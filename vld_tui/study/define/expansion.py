"""Expand a study's grids to runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from engine.protocol import NO_TARGET, RunSpec, SpecError, nearest, resolve_spec, run_identity
from engine.protocol.datasets import check_held_out_source, check_target
from engine.protocol.spec import Layout
from vld_tui.study.define.grid import ALL, DATA, Grid, StudyError

MOST_RUNS: Final = 20_000
DATA_FIELDS: Final = ("dataset", "data_dir")


class Datasets(Protocol):
    """The data set queries of a study."""

    def locate(self, values: Mapping[str, object]) -> dict[str, object]:
        """Return a run's values with the folder of its data set if it was added by name.

        Raises:
            DatasetError: when no data set has that name.
        """

    def domains(
        self, dataset: str, data_dir: str | None, layout: Layout = "auto"
    ) -> tuple[str, ...]:
        """Return the domains of a data set.

        Raises:
            DatasetError, LaunchError: when it cannot be read.
        """

    @property
    def absent(self) -> tuple[str, ...]:
        """Return the referenced data sets that are not on this machine."""


def expand(grids: Sequence[Grid], datasets: Datasets, seeds: Sequence[int]) -> list[RunSpec]:
    """Return the specs of all runs, one seed of everything first.

    Raises:
        StudyError: for an unknown target, or an exclusion that matches nothing.
        SpecError: for incompatible values.
        DatasetError: when a data set does not exist.
    """
    _refuse_too_many(grids, len(seeds))
    made = [spec for grid in grids for values in _combinations(grid, seeds)
            for spec in _specs(values, datasets)]  # fmt: skip
    for number, excluded in enumerate(grids[0].excluded, start=1):
        kept = [spec for spec in made if not _matches(spec, excluded)]
        if len(kept) == len(made):
            raise StudyError(f"[[exclude]] {number} matches no remaining run.")
        made = kept
    places = {seed: place for place, seed in enumerate(seeds)}
    return sorted(made, key=lambda spec: places[spec.seed])


def with_held_out_sources(specs: Sequence[RunSpec], datasets: Datasets) -> list[RunSpec]:
    """Return the specs, including the runs with a held-out source.

    A run without the target and one source also serves with the two swapped, so there is one run
    per pair of domains; the first by name is its target. Without a target there is one run per
    domain.

    Raises:
        StudyError: when a data set has fewer than three domains, or two without a target.
    """
    made: dict[str, RunSpec] = {}
    for spec in specs:
        if spec.held_out_source is not None:
            raise StudyError(
                "leave_one_source_out sets held_out_source itself; remove held_out_source."
            )
        domains = datasets.domains(spec.dataset, spec.data_dir, spec.layout)
        has_target = spec.target != NO_TARGET
        fewest, word = (3, "three") if has_target else (2, "two")
        if len(domains) < fewest:
            with_none = "" if has_target else f" with target {NO_TARGET}"
            raise StudyError(
                f"leave_one_source_out needs {word} domains{with_none}; {spec.dataset} has fewer."
            )
        for source in domains:
            if source != spec.target:
                pair = sorted((source, str(spec.target))) if has_target else (NO_TARGET, source)
                other = msgspec.structs.replace(spec, target=pair[0], held_out_source=pair[1])
                made.setdefault(run_identity(other), other)
    return [*specs, *made.values()]


def _refuse_too_many(grids: Sequence[Grid], seeds: int) -> None:
    runs = seeds * sum(math.prod(map(len, grid.axes)) for grid in grids)
    if runs > MOST_RUNS:
        raise StudyError(f"it has at least {runs:,} runs; the maximum is {MOST_RUNS:,}.")


def _combinations(grid: Grid, seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    for seed in seeds:
        for chosen in itertools.product(*grid.axes):
            values: dict[str, Any] = {**grid.fields, "seed": seed}
            for variant in chosen:
                values.update(variant)
            yield values


def _specs(values: dict[str, Any], datasets: Datasets) -> Iterator[RunSpec]:
    """Yield the specs of one combination; several if its target is ``all``."""
    if (data := values.pop(DATA, None)) is not None:
        values["data_dir" if "/" in data else "dataset"] = data
    target = values.get("target")
    if target == ALL:
        del values["target"]
    located = datasets.locate(values)
    spec = resolve_spec(located)
    domains = datasets.domains(spec.dataset, spec.data_dir, spec.layout)
    if target == ALL:
        for domain in _left_out_in_turn(spec.dataset, domains):
            yield msgspec.structs.replace(spec, target=domain)
        return
    if spec.target is None and len(domains) > 1:
        raise StudyError(
            f'target is missing: add target = "all" to [cross], or a list of '
            f"{', '.join(domains)}, {NO_TARGET}."
        )
    for name in ("target", "held_out_source"):
        domain = getattr(spec, name)
        if domain not in (None, *domains) and (name, domain) != ("target", NO_TARGET):
            raise StudyError(
                f"{name} is {domain!r}, but {spec.dataset} has {', '.join(domains)}."
                f"{nearest(domain, domains)}"
            )
    if spec.target is not None and spec.target == spec.held_out_source:
        raise StudyError(f"{spec.target!r} is both target and held_out_source of a run.")
    _check_left_out(spec, domains)
    yield msgspec.structs.replace(spec, target=spec.target or NO_TARGET)


def _left_out_in_turn(dataset: str, domains: Sequence[str]) -> Sequence[str]:
    """Return every domain, as targets of a study."""
    if len(domains) == 1:
        raise StudyError(
            f'target = "all" leaves out each domain in turn, but {dataset} has only one: use '
            f'target = ["{NO_TARGET}"], or create domains with vld data shift.'
        )
    return domains


def _check_left_out(spec: RunSpec, domains: Sequence[str]) -> None:
    """Check that a target or held-out source is unambiguous and leaves something to train on."""
    try:
        target = check_target(spec.dataset, domains, spec.target)
        check_held_out_source(spec.dataset, domains, spec.held_out_source, target)
    except SpecError as error:
        raise StudyError(str(error)) from None


def _matches(spec: RunSpec, excluded: Mapping[str, Any]) -> bool:
    return all(getattr(spec, name) == value for name, value in excluded.items())
