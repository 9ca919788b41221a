"""The grids of a study file (fixed fields, and crossed or zipped lists) and the runs they make."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from engine.protocol import (
    FIELDS,
    NO_TARGET,
    SPELLINGS,
    RunSpec,
    SpecError,
    UserError,
    by_field,
    nearest,
    nearest_field,
    resolve_spec,
    run_identity,
)
from engine.protocol.datasets import check_held_out_source, check_target
from engine.protocol.spec import Layout
from vld_tui.home import expanded
from vld_tui.runs.fields import with_absolute_paths

ALL: Final = "all"
"""Value of ``target`` for every domain of the data set."""
DATA: Final = "data"
"""Key of a data set by name or folder, next to the fields."""

Values = Mapping[str, Any]
Axis = tuple[Values, ...]
"""Fields that vary together: one mapping of values per variant."""

_BLOCK_KEYS: Final = ("fields", "cross", "zip")
MOST_RUNS: Final = 20_000
DATA_FIELDS: Final = ("dataset", "data_dir")


class StudyError(UserError):
    """An invalid or missing study; the message names the file and the key."""


@dataclass(frozen=True)
class Grid:
    """One grid: fields shared by all runs, and crossed axes."""

    fields: Values
    axes: tuple[Axis, ...]
    excluded: tuple[Values, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Return the fields of the grid, except ``data``."""
        varied = (name for axis in self.axes for name in axis[0])
        return tuple(name for name in dict.fromkeys((*self.fields, *varied)) if name != DATA)

    def overlaid(self, other: Grid) -> Grid:
        """Return this grid with the values of the other one replacing its own."""
        named = set(other.names)
        if named.intersection(DATA_FIELDS):
            named.add(DATA)
        axes = tuple(axis for axis in self.axes if named.isdisjoint(axis[0]))
        fields = {name: value for name, value in self.fields.items() if name not in named}
        return replace(self, fields={**fields, **other.fields}, axes=_ordered(axes + other.axes))


def grids_of(values: Values, folder: Path) -> list[Grid]:
    """Return the grid of a study, and those it adds.

    Raises:
        StudyError: for an unknown field, an empty list, zipped lists of different lengths, or a
            value that is not a table.
    """
    base = _block(values, "", folder)
    keep = values.get("keep", "best")
    try:
        kept = check_value("keep_checkpoints", keep, "")
    except StudyError as error:
        raise StudyError(str(error).replace("keep_checkpoints", "keep", 1)) from None
    if "keep_checkpoints" not in base.names:
        base = replace(base, fields={**base.fields, "keep_checkpoints": kept})
    elif "keep" in values:
        raise StudyError("keep and keep_checkpoints are the same field; set only one.")
    base = replace(base, axes=_ordered(_data_axis(values, base, folder) + base.axes))
    base = replace(base, excluded=tuple(_excluded(values, folder)))
    added = []
    for number, block in enumerate(_tables(values, "add"), start=1):
        where = f"[[add]] {number} "
        for key in block:
            if key not in _BLOCK_KEYS:
                raise StudyError(f"{where}has an unknown key {key!r}.{nearest(key, _BLOCK_KEYS)}")
        added.append(base.overlaid(_block(block, where, folder)))
    return [base, *added]


def check_fields(names: Iterable[str], where: str) -> tuple[str, ...]:
    """Return the names of fields, which may be written as flags.

    Raises:
        StudyError: for an unknown field, with the nearest names.
    """
    fields = []
    for name in names:
        field = SPELLINGS.get(name.replace("-", "_"))
        if field is None:
            raise StudyError(f"{where} has an unknown field {name!r}.{nearest_field(name)}")
        fields.append(field)
    return tuple(fields)


def check_value(name: str, value: object, where: str) -> Any:
    """Return a value in its field's type; ``"none"`` means None for an optional field unless it
    is one of the field's own words.

    Raises:
        StudyError: when the value is invalid.
    """
    info = FIELDS[name]
    if value == "none" and info.is_optional and not info.none_is_word:
        return None
    try:
        return info.check(value)
    except SpecError as error:
        raise StudyError(f"{where} {error}".lstrip()) from None


def _block(values: Values, where: str, folder: Path) -> Grid:
    fields = _by_field(_table(values, "fields", where), f"{where}[fields]")
    cross = _by_field(_table(values, "cross", where), f"{where}[cross]")
    zips = [(place, _by_field(table, place)) for number, table in
            enumerate(_tables(values, "zip"), start=1)
            for place in [f"{where}[[zip]] {number}"]]  # fmt: skip
    places = [(f"{where}[fields]", fields), (f"{where}[cross]", cross), *zips]
    seen: dict[str, str] = {}
    for place, table in places:
        for name in table:
            if name == "seed":
                raise StudyError(
                    f"{place} sets seed: use seeds = [0, 1, 2] above all tables instead."
                )
            if name in seen:
                raise StudyError(f"{name} is in both {seen[name]} and {place}; set it in one.")
            seen[name] = place
    fixed = {name: _checked(name, value, places[0][0], folder) for name, value in fields.items()}
    axes = [_crossed(name, value, places[1][0], folder) for name, value in cross.items()]
    axes += [_zipped(table, place, folder) for place, table in zips]
    return Grid(fixed, _ordered(axes))


def _by_field(table: Values, where: str) -> Values:
    """Return a table by field names, which may be written as flags."""
    check_fields(table, where)
    try:
        return by_field(table)
    except SpecError as error:
        raise StudyError(f"{where}: {error}") from None


def _crossed(name: str, given: object, where: str, folder: Path) -> Axis:
    if name == "target" and given == ALL:
        return ({name: ALL},)
    return tuple({name: value} for value in _list(name, given, where, folder))


def _zipped(table: Values, where: str, folder: Path) -> Axis:
    lists = {name: _list(name, given, where, folder) for name, given in table.items()}
    lengths = {name: len(values) for name, values in lists.items()}
    if not lists:
        raise StudyError(f"{where} is empty.")
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise StudyError(f"{where} has lists of different lengths: {told}.")
    rows = zip(*lists.values(), strict=True)
    return tuple(dict(zip(lists, row, strict=True)) for row in rows)


def _list(name: str, given: object, where: str, folder: Path) -> list[Any]:
    if not isinstance(given, list):
        raise StudyError(f"{where} {name} is {given!r}, but must be a list of values.")
    if not given:
        raise StudyError(f"{where} {name} is an empty list.")
    return [_checked(name, value, where, folder) for value in given]


def _checked(name: str, given: object, where: str, folder: Path) -> Any:
    value = check_value(name, given, where)
    return with_absolute_paths({name: value}, folder)[name]


def _data_axis(values: Values, base: Grid, folder: Path) -> tuple[Axis, ...]:
    names = values.get(DATA)
    if names is None:
        return ()
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise StudyError(f"data is {names!r}, but must be a list of data sets or folders.")
    if not names:
        raise StudyError("data is an empty list.")
    if both := {"dataset", "data_dir"}.intersection(base.names):
        raise StudyError(f"data and {min(both)} both set the images; use only one.")
    return (tuple({DATA: _located(name, folder)} for name in names),)


def _located(name: str, folder: Path) -> str:
    """Return a data set's name, or a folder's path if it contains ``/`` or starts with ``.`` or
    ``~``."""
    is_path = "/" in name or name.startswith((".", "~"))
    return str((folder / expanded(name)).absolute()) if is_path else name


def _excluded(values: Values, folder: Path) -> Iterable[Values]:
    for number, table in enumerate(_tables(values, "exclude"), start=1):
        where = f"[[exclude]] {number}"
        if not table:
            raise StudyError(f"{where} is empty.")
        excluded = _by_field(table, where)
        yield {name: _checked(name, value, where, folder) for name, value in excluded.items()}


def _table(values: Values, key: str, where: str) -> Values:
    table = values.get(key, {})
    if not isinstance(table, dict):
        raise StudyError(f"{where}[{key}] must be a table of fields.")
    return table


def _tables(values: Values, key: str) -> Sequence[Values]:
    tables = values.get(key, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise StudyError(f"{key} must be a list of tables: write [[{key}]] with fields below it.")
    return tables


def _ordered(axes: Iterable[Axis]) -> tuple[Axis, ...]:
    """Return axes in an order that does not depend on the file."""
    places = {name: place for place, name in enumerate((DATA, *FIELDS))}
    return tuple(sorted(axes, key=lambda axis: min(places[name] for name in axis[0])))


class Datasets(Protocol):
    """What a study asks of a home: its data sets, and the finished runs that can be teachers."""

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

    def finished(self, identities: Sequence[str]) -> Mapping[str, str]:
        """Return the id of the first finished run of each identity that has one."""

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
