"""A study: a grid of runs, written in TOML (docs/studies.md)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from engine.protocol import (
    FIELDS,
    MEASURED_ON,
    SEEDS,
    SPELLINGS,
    RunSpec,
    SpecError,
    fields_with,
    misfits,
    nearest,
    run_identity,
    shown_value,
)
from engine.protocol.effects import without_effect
from engine.protocol.spec import Layout
from vld_tui.home import expanded
from vld_tui.study.define.grid import (
    Datasets,
    StudyError,
    check_fields,
    check_value,
    expand,
    grids_of,
    with_held_out_sources,
)
from vld_tui.study.define.teachers import OF_STUDY, with_known_teachers
from vld_tui.words.toml_text import read_toml

__all__ = ["Datasets", "Study", "StudyError", "read_study"]

MOST_SEEDS: Final = 1000
RESERVED_NAMES: Final = ("launch", "ls", "status")
"""Words with another meaning in place of a study's name."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
_KEYS: Final = (
    "name", "title", "data", "compare", "choose", "seeds", "keep", "leave_one_source_out",
    "folder", "domains", "fields", "cross", "zip", "exclude", "add",
)  # fmt: skip
_NOT_COMPARED: Final = frozenset((*fields_with("place"), *fields_with("implied"), *SEEDS))


@dataclass(frozen=True)
class Study:
    """A study and its runs.

    ``specs`` are in running order: one seed of everything first, runs with a held-out source last.
    ``identities`` are theirs, each once. ``compare`` and ``choose`` name fields of a specification.
    ``text`` is the TOML source. ``domains`` are those of each data set whose domains were needed.
    ``absent`` are data sets that are not on this machine. ``misfits`` give, by identity, why runs
    cannot apply a setting and are not started. ``declared`` are the fields that the study sets;
    the others have the recipe's values. ``untaught`` counts runs that are not among the specs
    because their teacher, a run of the study, has not finished.
    """

    name: str
    title: str
    compare: tuple[str, ...]
    choose: tuple[str, ...]
    specs: tuple[RunSpec, ...]
    identities: tuple[str, ...]
    text: str = ""
    domains: Mapping[str, tuple[str, ...]] | None = None
    absent: tuple[str, ...] = ()
    misfits: Mapping[str, str] = field(default_factory=dict)
    declared: tuple[str, ...] = ()
    untaught: int = 0

    @property
    def main_specs(self) -> tuple[RunSpec, ...]:
        """Return the specs of the runs without a held-out source."""
        return tuple(spec for spec in self.specs if spec.held_out_source is None)

    @property
    def named_by(self) -> tuple[str, ...]:
        """Return the fields that names of its runs contain, so that they differ."""
        chosen = [*self.compare, *self.choose, "held_out_source", "dataset"]
        varying = [name for name in FIELDS if len({getattr(s, name) for s in self.specs}) > 1]
        named_by = tuple(name for name in varying if name in chosen)
        known = ("target", "dropout_rate", "masks", *SEEDS, *named_by)
        are_apart = len({tuple(getattr(s, n) for n in known) for s in self.specs})
        return named_by if are_apart == len(self.specs) else tuple(varying)


def read_study(text: str, where: str, datasets: Datasets, *, folder: Path) -> Study:
    """Read a study and expand the specs of its runs.

    Args:
        text: TOML.
        where: its path or name in messages.
        datasets: the known data sets.
        folder: base of the study's relative paths, unless the study sets another one.

    Raises:
        StudyError: when it is invalid, with the file and the key.
        DatasetError: when a data set does not exist.
    """
    try:
        return _Reader(_parse(text), datasets, folder).read(text)
    except (StudyError, SpecError) as error:
        raise StudyError(f"{where}: {error}") from None


def _parse(text: str) -> dict[str, Any]:
    try:
        values = read_toml(text)
    except ValueError as error:
        raise StudyError(str(error)) from None
    for key in values:
        if key not in _KEYS:
            hint = nearest(key, _KEYS)
            if not hint and key.replace("-", "_") in SPELLINGS:
                hint = " Fields of runs belong in [fields] or [cross]."
            raise StudyError(f"unknown key {key!r}.{hint}")
    return values


class _Reader:
    """Reads one study, key by key."""

    def __init__(self, values: Mapping[str, Any], datasets: Datasets, folder: Path) -> None:
        self._values = values
        self._folder = folder / expanded(self._text("folder") or "")
        self._datasets = _Remembered(datasets, self._domains())

    def read(self, text: str) -> Study:
        """Return the study.

        Raises:
            StudyError, SpecError, DatasetError: see :func:`read_study`.
        """
        name, choose = self._name(), self._names("choose")
        grids = grids_of(self._values, self._folder)
        specs = expand(grids, self._datasets, self._seeds())
        if not specs:
            raise StudyError("[[exclude]] removes every run.")
        declared = {name: None for grid in grids for name in grid.names}
        _refuse_twins(specs, declared)
        compare = self._names("compare") or _varying(specs, declared, choose)
        if measured := set(MEASURED_ON).intersection(choose):
            raise StudyError(
                f"choose lists {min(measured)}, which changes the images that ID accuracy is "
                "measured on, so it cannot be chosen by ID accuracy. List it in compare."
            )
        compare = (*compare, *measured_differently(specs, compare))
        if both := set(compare).intersection(choose):
            raise StudyError(f"{min(both)!r} is in both compare and choose; list it in one.")
        if self._flag("leave_one_source_out"):
            specs = with_held_out_sources(specs, self._datasets)
        taught = with_known_teachers(specs, self._datasets)
        if not taught:
            raise StudyError(
                f'teacher is "{OF_STUDY}", but no such run (objective erm, dropout_rate 0) has '
                "finished. Add these runs to the study, or name a teacher."
            )
        return Study(
            name=name,
            title=self._text("title") or name,
            compare=compare,
            choose=choose,
            specs=tuple(taught),
            identities=tuple(map(run_identity, taught)),
            text=text,
            domains=self._datasets.asked,
            absent=self._datasets.absent,
            misfits=_misfits(specs, taught, declared),
            declared=tuple(declared),
            untaught=len(specs) - len(taught),
        )

    def _name(self) -> str:
        name = self._text("name")
        if name is None:
            raise StudyError('name is missing: add a line such as name = "my-study" at the top.')
        if not _NAME.fullmatch(name) or name in RESERVED_NAMES or name.endswith(".toml"):
            raise StudyError(
                f"name is {name!r}, but must be one word of up to 60 letters, digits, '.', '_' and "
                f"'-', starting with a letter or digit, and not {' or '.join(RESERVED_NAMES)}."
            )
        return name

    def _text(self, key: str) -> str | None:
        value = self._values.get(key)
        if value is not None and not isinstance(value, str):
            raise StudyError(f"{key} is {value!r}, but must be text.")
        return value

    def _flag(self, key: str) -> bool:
        value = self._values.get(key, False)
        if not isinstance(value, bool):
            raise StudyError(f"{key} is {value!r}, but must be true or false.")
        return value

    def _names(self, key: str) -> tuple[str, ...]:
        names = self._values.get(key, [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise StudyError(f"{key} is {names!r}, but must be a list of fields.")
        return tuple(dict.fromkeys(check_fields(names, key)))

    def _seeds(self) -> tuple[int, ...]:
        given = self._values.get("seeds", 1)
        if isinstance(given, int) and not isinstance(given, bool):
            given = list(range(min(given, MOST_SEEDS + 1)))
        if not isinstance(given, list) or not 0 < len(given) <= MOST_SEEDS:
            raise StudyError(
                f"seeds is {self._values['seeds']!r}, but must be a number (1 to {MOST_SEEDS}) or "
                "a list of seeds."
            )
        return tuple(check_value("seed", seed, "seeds:") for seed in given)

    def _domains(self) -> dict[str, tuple[str, ...]]:
        given = self._values.get("domains", {})
        if not isinstance(given, dict):
            raise StudyError("[domains] must map data sets to lists of domains.")
        for name, domains in given.items():
            if not isinstance(domains, list) or not all(isinstance(each, str) for each in domains):
                raise StudyError(f"[domains] {name} must be a list of names.")
        return {name: tuple(domains) for name, domains in given.items()}


class _Remembered:
    """Data sets whose domains a study may define itself; records the queries."""

    def __init__(self, datasets: Datasets, said: Mapping[str, tuple[str, ...]]) -> None:
        self._datasets, self._said = datasets, said
        self.asked: dict[str, tuple[str, ...]] = {}

    def locate(self, values: Mapping[str, object]) -> dict[str, object]:
        """Return a run's values with the folder of its data set."""
        return self._datasets.locate(values)

    def domains(
        self, dataset: str, data_dir: str | None, layout: Layout = "auto"
    ) -> tuple[str, ...]:
        """Return the domains, as the study defines them or as read."""
        if dataset not in self.asked:
            said = self._said.get(dataset)
            self.asked[dataset] = said or self._datasets.domains(dataset, data_dir, layout)
        return self.asked[dataset]

    def finished(self, identities: Sequence[str]) -> Mapping[str, str]:
        """Return the first finished run of each identity that has one."""
        return self._datasets.finished(identities)

    @property
    def absent(self) -> tuple[str, ...]:
        """Return the data sets that are not on this machine."""
        return self._datasets.absent


def measured_differently(specs: Sequence[RunSpec], compare: Sequence[str]) -> list[str]:
    """Return the fields that must be compared because each value measures ID accuracy on
    different images, so that a mean over them is meaningless."""
    return [
        name
        for name in MEASURED_ON
        if name not in compare and len({getattr(spec, name) for spec in specs}) > 1
    ]


def _varying(
    specs: Sequence[RunSpec], declared: Mapping[str, None], choose: Sequence[str]
) -> tuple[str, ...]:
    """Return the fields that a study varies, which its report compares by default."""
    names = [name for name in FIELDS if name in declared and name not in _NOT_COMPARED]
    return tuple(
        name
        for name in names
        if name not in choose and len({getattr(spec, name) for spec in specs}) > 1
    )


def _misfits(
    specs: Sequence[RunSpec], taught: Sequence[RunSpec], declared: Mapping[str, None]
) -> dict[str, str]:
    """Return why runs cannot apply the study's settings, by identity.

    A setting may have no effect in some of the runs, but not in all. ``taught`` are the runs with
    the ids of their teachers.
    """
    in_none = set(declared).intersection(*(without_effect(spec, declared) for spec in specs))
    found: dict[str, str] = {}
    for spec in (*specs, *taught):
        idle = without_effect(spec, declared)
        given = [name for name in declared if name not in idle or name in in_none]
        if problem := next(misfits(spec, given), None):
            found[run_identity(spec)] = problem
    return found


def _refuse_twins(specs: Sequence[RunSpec], declared: Mapping[str, None]) -> None:
    known: dict[str, RunSpec] = {}
    for spec in specs:
        other = known.setdefault(run_identity(spec), spec)
        if other is spec:
            continue
        differing = [name for name in FIELDS if getattr(spec, name) != getattr(other, name)]
        shown = ["seed", *(name for name in FIELDS if name in declared and name not in differing)]
        values = ", ".join(
            f"{name} {shown_value(getattr(spec, name))}" for name in dict.fromkeys(shown)
        )
        apart = (
            f"differ only in {', '.join(differing)}, which does not change the result"
            if differing
            else "are identical"
        )
        advice = " Leave one out with [[exclude]]." if differing else ""
        raise StudyError(f"two runs {apart}: {values}.{advice}")
