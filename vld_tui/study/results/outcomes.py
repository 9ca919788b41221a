"""Outcomes of a study's finished runs: the input of its clouds, tables and tests."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from engine.protocol import (
    FIELDS,
    MEASURED_ON,
    MEASURES,
    NOT_RESULT,
    SEEDS,
    RunSpec,
    Summary,
    fields_with,
    measures_in,
    value_in,
)
from vld_tui.runs.metrics import LastEvaluation
from vld_tui.runs.statistics import Estimate, Reading, over_seeds

PLACES: Final = (*fields_with("place"), *SEEDS)
"""Fields by which results are ordered, whatever a study compares."""
DROPOUT_WORD: Final = "λ"
AS_TRAINED: Final = "as trained"

Cell = tuple[Any, ...]
"""Values of the hyper-parameters to choose from."""
Seed = tuple[int, int | None]
"""A run's seed, and that of its split."""
Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")


class Setting(NamedTuple):
    """A compared setting: values of the compared fields, and an arm.

    ``arm`` None: the run's own network.
    """

    values: tuple[tuple[str, Any], ...]
    arm: str | None = None

    @property
    def label(self) -> str:
        """Return it as unescaped text."""
        words = [field_words(name, value) for name, value in self.values]
        words += [self.arm] if self.arm else []
        return " · ".join(words) or AS_TRAINED

    @property
    def measured_on(self) -> tuple[Any, ...]:
        """Return the value that determines the images of ID accuracy, comparable only within it."""
        return tuple(self.value(name) for name in MEASURED_ON)

    def value(self, field: str) -> Any:
        """Return the value of a compared field; None when it is not compared."""
        return dict(self.values).get(field)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one arm of a finished run, at its selected step.

    Accuracies are from 0 to 1. ``domains`` has, by name, the sources' ``out`` split and the ``in``
    split of the target and of the held-out source. ``last`` is the result at the run's last step;
    None: unknown. A run without a target has no OOD accuracy. ``measures`` are the ID and OOD
    values of measures; empty in runs of earlier versions.
    """

    dataset: str
    target: str
    setting: Setting
    cell: Cell = ()
    seed: Seed = (0, None)
    run_id: str = ""
    steps: int = 0
    selected_step: int = 0
    id_accuracy: float
    ood_accuracy: float | None
    domains: dict[str, float] = {}
    held_out_source: str | None = None
    last: LastEvaluation | None = None
    measures: Summary = {}


class Quantity(NamedTuple):
    """A number that every outcome has or may have, from 0 to 1 unless it is a difference.

    ``key`` names it for scripts, ``heading`` in a table, ``label`` in a sentence.
    """

    key: str
    heading: str
    label: str
    of: Callable[[Outcome], float | None]
    higher_is_better: bool = True

    def estimate(self, results: Iterable[Outcome]) -> Estimate | None:
        """Return its mean over targets, cells and seeds, see :func:`over_seeds`; results without
        a value are left out."""
        return over_seeds(
            Reading((each.dataset, each.target), (each.setting, each.cell), each.seed, value)
            for each in results
            if (value := self.of(each)) is not None
        )


ID: Final = Quantity("id_accuracy", "ID", "ID accuracy", lambda each: each.id_accuracy)
OOD: Final = Quantity("ood_accuracy", "OOD", "OOD accuracy", lambda each: each.ood_accuracy)


def measured(name: str) -> tuple[Quantity, Quantity]:
    """Return the ID and the OOD value of a measure as quantities."""
    measure = MEASURES[name]

    def quantity(place: int, which: str) -> Quantity:
        return Quantity(
            f"{which.lower()}_{name}",
            f"{which} {measure.label}",
            f"{which} {name.replace('_', ' ')}",
            lambda each: value_in(each.measures, name, place),
            measure.higher_is_better,
        )

    return quantity(0, "ID"), quantity(1, "OOD")


def known_measures(results: Iterable[Outcome]) -> list[str]:
    """Return the names of the measures of which a result has a value, in display order."""
    return measures_in(each.measures for each in results)


class Design(NamedTuple):
    """Which fields are compared, and which are chosen."""

    compared: tuple[str, ...]
    chosen: tuple[str, ...]

    @classmethod
    def of(cls, specs: Sequence[RunSpec], compare: Sequence[str], choose: Sequence[str]) -> Design:
        """Return the design of a study.

        Runs that differ in a field that is neither compared nor chosen must not be averaged like
        seeds, so such a field is compared as well. So is a field that changes the images of ID
        accuracy.
        """
        compared = [name for name in compare if name not in PLACES]
        compared += [
            name
            for name in MEASURED_ON
            if name not in compared and len({getattr(spec, name) for spec in specs}) > 1
        ]
        chosen = tuple(name for name in choose if name not in (*PLACES, *compared))
        alike = grouped(specs, lambda spec: _values(spec, (*PLACES, *compared, *chosen)))
        compared += [
            name
            for name in FIELDS
            if name not in (*PLACES, *compared, *chosen, *_TOLD)
            and any(len({getattr(spec, name) for spec in specs}) > 1 for specs in alike.values())
        ]
        return cls(tuple(compared), chosen)

    def setting(self, spec: RunSpec, arm: str | None = None) -> Setting:
        """Return a run's compared setting."""
        return Setting(tuple((name, getattr(spec, name)) for name in self.compared), arm)

    def cell(self, spec: RunSpec) -> Cell:
        """Return the run's chosen hyper-parameters (its cell)."""
        return _values(spec, self.chosen)

    def cell_words(self, cell: Cell) -> str:
        """Return a cell as text."""
        pairs = zip(self.chosen, cell, strict=True)
        return ", ".join(field_words(name, value) for name, value in pairs)


_TOLD: Final = NOT_RESULT.union(fields_with("not_own_result"))
"""Fields that change no result of a run's own network."""


def field_words(name: str, value: object) -> str:
    """Return a field and its value as text."""
    word = DROPOUT_WORD if name == "dropout_rate" else FIELDS[name].label
    if value is None:
        return f"{word} none"
    if isinstance(value, bool):
        return f"{word} {'yes' if value else 'no'}"
    if isinstance(value, tuple):
        return f"{word} {', '.join(map(str, value)) or 'none'}"
    return f"{word} {value:g}" if isinstance(value, float) else f"{word} {value}"


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Group items by key, in order of first appearance."""
    groups: dict[Key, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def in_full(results: Iterable[Outcome]) -> list[Outcome]:
    """Return the results of runs that trained on every source."""
    return [each for each in results if each.held_out_source is None]


def with_ood(results: Iterable[Outcome]) -> list[Outcome]:
    """Return the results of runs that left out a target."""
    return [each for each in results if each.ood_accuracy is not None]


def share_one_split(results: Iterable[Outcome]) -> bool:
    """Return whether every seed trained on the same split of its data set."""
    splits = {trial_seed for _, trial_seed in (each.seed for each in results)}
    return None not in splits and len(splits) == 1


def settings_of(results: Iterable[Outcome]) -> list[Setting]:
    """Return the settings in ascending order of their values, the run's own network before other
    arms."""
    known = list(dict.fromkeys(each.setting for each in results))
    arms = list(dict.fromkeys(setting.arm for setting in known))
    arms.sort(key=lambda arm: (arm is not None, arm or ""))

    def place(setting: Setting) -> tuple[object, ...]:
        values = tuple(_order(value) for _, value in setting.values)
        return arms.index(setting.arm), values

    return sorted(known, key=place)


def mean_accuracies(results: Sequence[Outcome]) -> tuple[float, float]:
    """Return the mean ID and OOD accuracy; the latter is NaN if some are missing."""
    oods = [each.ood_accuracy for each in results if each.ood_accuracy is not None]
    return (
        statistics.fmean(each.id_accuracy for each in results),
        statistics.fmean(oods) if len(oods) == len(results) else math.nan,
    )


def worst_domain(
    results: Iterable[Outcome], *, is_source: bool = False
) -> tuple[str, Estimate] | None:
    """Return the domain with the lowest accuracy on any target, and that accuracy.

    Means are per target, since runs with another target trained on other domains. ``is_source``:
    of the domains other than the target.
    """
    found = [
        (domain, accuracy)
        for (_, target), alike in grouped(results, lambda each: (each.dataset, each.target)).items()
        for domain in dict.fromkeys(name for each in alike for name in each.domains)
        if not (is_source and domain == target)
        and (accuracy := _on(domain).estimate(alike)) is not None
    ]
    return min(found, key=lambda each: (each[1].mean, each[0]), default=None)


def _on(domain: str) -> Quantity:
    return Quantity(domain, domain, domain, lambda each: each.domains.get(domain))


def _order(value: object) -> tuple[int, float, str]:
    if isinstance(value, int | float):
        return 0, float(value), ""
    return 1, 0.0, str(value)


def _values(spec: RunSpec, names: Iterable[str]) -> Cell:
    return tuple(getattr(spec, name) for name in names)
