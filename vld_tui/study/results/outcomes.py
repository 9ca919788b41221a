"""What the runs of a study reached, as one table of outcomes, and how it is gathered."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from engine.protocol import (
    AUGMENTED,
    FIELDS,
    JUDGED,
    MEASURED_ON,
    MEASURES,
    NOT_RESULT,
    SEEDS,
    RunSpec,
    Summary,
    fields_with,
    measures_in,
    shown_value,
    value_in,
)
from engine.protocol.evaluated import BALANCED, Unit
from engine.protocol.measures import ACCURACY
from engine.protocol.selection import CRITERIA, Criterion
from vld_tui.runs.metrics import LastEvaluation
from vld_tui.runs.run import ArmResult, Run, own_result
from vld_tui.runs.statistics import Estimate, Reading, over_seeds
from vld_tui.store.store import Store
from vld_tui.study.define.definition import Study, measured_differently
from vld_tui.study.existing import runs_of
from vld_tui.study.standing import Standing

PLACES: Final = (*fields_with("place"), *SEEDS)
"""Fields by which results are ordered, whatever a study compares."""
_NO_OWN_RESULT: Final = NOT_RESULT.union(fields_with("not_own_result"))
"""Fields that change no result of a run's own network."""
FINISHED: Final = "finished"
NOT_STARTED: Final = "not started"
DROPOUT_WORD: Final = "λ"
AS_TRAINED: Final = "as trained"
MOST_IN_FULL: Final = 2
"""The most compared fields of which a label shows every value."""

Cell = tuple[Any, ...]
"""Values of the hyper-parameters to choose from."""
Seed = tuple[int, int | None]
"""A run's seed, and that of its split."""
RunArm = tuple[str, str]
"""A run's id, and an arm."""
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
        """Return it as unescaped text; of many fields, words at their default are left out."""
        words = [
            field_words(name, value)
            for name, value in self.values
            if len(self.values) <= MOST_IN_FULL
            or not isinstance(value, str)
            or value != FIELDS[name].default
        ]
        words += [self.arm] if self.arm else []
        return " · ".join(words) or AS_TRAINED

    @property
    def measured_on(self) -> tuple[Any, ...]:
        """Return the value that determines the images of ID accuracy, comparable only within it."""
        return tuple(self.value(name) for name in MEASURED_ON)

    def value(self, field: str) -> Any:
        """Return the value of a compared field; None when it is not compared."""
        return dict(self.values).get(field)

    def without(self, field: str) -> Setting:
        """Return the setting without the value of a field."""
        return self._replace(values=tuple(pair for pair in self.values if pair[0] != field))


class SelectionValues(NamedTuple):
    """Values of the measure that selects a step, if it is not accuracy; from 0 to 1.

    ``id`` is on the images that select. ``domains`` has the ``in`` split of left-out domains by
    name. ``target_out`` is on the target's ``out`` split at the last step; None: unknown.
    """

    id: float | None
    domains: dict[str, float]
    target_out: float | None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one arm of a finished run, at its selected step.

    Accuracies are from 0 to 1. ``domains`` has, by name, the sources' ``out`` split and the ``in``
    split of the target and of the held-out source. ``last`` is the result at the run's last step;
    None: unknown. A run without a target has no OOD accuracy. ``measures`` are the ID and OOD
    values of measures; empty in runs of earlier versions. ``selected_on`` is the run's
    ``select_on``; ``scores``: None where it is accuracy, or not needed.
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
    selected_on: str = "accuracy"
    scores: SelectionValues | None = None

    @property
    def id_score(self) -> float | None:
        """Return the value that selects among outcomes, of the measure that selected the step."""
        return self.id_accuracy if self.scores is None else self.scores.id

    @property
    def domain_scores(self) -> dict[str, float]:
        """Return values of that measure on left-out domains, by name."""
        return self.domains if self.scores is None else self.scores.domains

    @property
    def target_out_score(self) -> float | None:
        """Return the value of that measure by which an oracle chooses."""
        if self.scores is not None:
            return self.scores.target_out
        return None if self.last is None else self.last.target_out_accuracy


class Quantity(NamedTuple):
    """A number that every outcome has or may have, from 0 to 1 unless it is a difference or of
    another ``unit``.

    ``key`` names it for scripts, ``heading`` in a table, ``label`` in a sentence.
    """

    key: str
    heading: str
    label: str
    of: Callable[[Outcome], float | None]
    higher_is_better: bool | None = True
    unit: Unit = "share"

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


def quantities_of(name: str) -> list[Quantity]:
    """Return the values of a measure, ID before OOD, without those that no run can have."""
    pair = measured(name)
    return [pair[place] for place, _ in MEASURES[name].places]


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
            measure.unit,
        )

    return quantity(0, "ID"), quantity(1, "OOD")


class AccuracyPair(NamedTuple):
    """ID and OOD value of accuracy, or of a measure that is shown next to it."""

    label: str
    id: Quantity
    ood: Quantity


def accuracy_pairs(results: Iterable[Outcome]) -> list[AccuracyPair]:
    """Return accuracy, and balanced accuracy where a result has it."""
    pairs = [AccuracyPair("accuracy", ID, OOD)]
    if BALANCED in known_measures(results):
        pairs.append(AccuracyPair(BALANCED.replace("_", " "), *measured(BALANCED)))
    return pairs


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
        compared += measured_differently(specs, compared)
        chosen = tuple(name for name in choose if name not in (*PLACES, *compared))
        alike = grouped(specs, lambda spec: _values(spec, (*PLACES, *compared, *chosen)))
        compared += [
            name
            for name in FIELDS
            if name not in (*PLACES, *compared, *chosen, *_NO_OWN_RESULT)
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


def field_words(name: str, value: object) -> str:
    """Return a field and its value as text."""
    word = DROPOUT_WORD if name == "dropout_rate" else FIELDS[name].label
    return f"{word} {value_words(value)}"


def value_words(value: object, separator: str = ", ") -> str:
    """Return a value as text, with numbers rounded; ``separator`` is between parts of a tuple."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return separator.join(map(str, value)) or "none"
    return shown_value(value)


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


def criteria(results: Iterable[Outcome]) -> list[Criterion]:
    """Return what selected the steps of results; several where runs differ in it."""
    known = {each.selected_on for each in results}
    return [criterion for name, criterion in CRITERIA.items() if name in known]


def share_one_split(results: Iterable[Outcome]) -> bool:
    """Return whether every seed trained on the same split of its data set."""
    splits = {trial_seed for _, trial_seed in (each.seed for each in results)}
    return None not in splits and len(splits) == 1


def settings_of(results: Iterable[Outcome]) -> list[Setting]:
    """Return the settings in the order of their values (numbers ascending, choices as declared,
    other texts after the default), the run's own network before other arms."""
    known = list(dict.fromkeys(each.setting for each in results))
    arms = list(dict.fromkeys(setting.arm for setting in known))
    arms.sort(key=lambda arm: (arm is not None, arm or ""))

    def place(setting: Setting) -> tuple[object, ...]:
        values = tuple(_order(name, value) for name, value in setting.values)
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


def _order(name: str, value: object) -> tuple[int, float, str]:
    info = FIELDS[name]
    if isinstance(value, int | float):
        return 0, float(value), ""
    if value in info.choices:
        return 1, float(info.choices.index(value)), ""
    return (1 if value == info.default else 2), 0.0, str(value)


def _values(spec: RunSpec, names: Iterable[str]) -> Cell:
    return tuple(getattr(spec, name) for name in names)


class Coverage(NamedTuple):
    """How many runs of one cell of a study have finished.

    Runs with and without a held-out source are counted separately. ``others`` counts the missing
    runs by status.
    """

    dataset: str
    target: str
    setting: Setting
    has_held_out_source: bool
    asked: int
    finished: int
    others: Mapping[str, int]

    @property
    def missing(self) -> int:
        """Return how many are missing."""
        return self.asked - self.finished


class Gathered(NamedTuple):
    """A study and its results; ``runs`` are those that count, in the study's order."""

    study: Study
    design: Design
    runs: tuple[Run, ...]
    results: tuple[Outcome, ...]
    coverage: tuple[Coverage, ...]

    @property
    def asked(self) -> int:
        """Return how many runs the study has."""
        return sum(each.asked for each in self.coverage)


def gather(store: Store, study: Study) -> Gathered:
    """Return the results of a study's finished runs, and how many are missing.

    Of several finished runs of one identity the newest counts.

    Raises:
        StoreError: when the history cannot be read.
    """
    design = Design.of(study.specs, study.compare, study.choose)
    counted: list[tuple[RunSpec, Run]] = []
    statuses: dict[tuple[str, str, Setting, bool], Counter[str]] = {}
    for spec, runs in zip(study.specs, runs_of(store, study), strict=True):
        finished = [run for run in runs if run.status == FINISHED and own_result(run) is not None]
        place = (spec.dataset, str(spec.target), design.setting(spec), bool(spec.held_out_source))
        status = FINISHED if finished else runs[-1].status if runs else NOT_STARTED
        statuses.setdefault(place, Counter())[status] += 1
        if finished:
            counted.append((spec, finished[-1]))
    coverage = tuple(
        Coverage(
            *place,
            asked=found.total(),
            finished=found[FINISHED],
            others={name: count for name, count in found.items() if name != FINISHED},
        )
        for place, found in statuses.items()
    )
    run_ids = [run.run_id for _, run in counted]
    arms = store.series.arms(run_ids)
    results = outcomes_of(
        design, counted, arms, store.series.last_evaluations(run_ids), _scores(store, counted, arms)
    )
    return Gathered(study, design, tuple(run for _, run in counted), results, coverage)


def _scores(
    store: Store,
    counted: Iterable[tuple[RunSpec, Run]],
    arms: Mapping[str, Sequence[ArmResult]],
) -> dict[RunArm, SelectionValues]:
    """Return the values of the measure that selected, of runs where it is not accuracy."""
    found: dict[RunArm, SelectionValues] = {}
    for select_on, alike in grouped(counted, lambda pair: pair[0].select_on).items():
        if (name := CRITERIA[select_on].metric) == ACCURACY:
            continue
        results = {
            (run.run_id, each.arm): each
            for _, run in alike
            for each in (own_result(run), *arms.get(run.run_id, ()))
            if each is not None
        }
        steps = {key: each.selected_step for key, each in results.items()}
        values = store.series.values_at(steps, name)
        last = store.series.last_evaluations([run.run_id for _, run in alike], name)
        for key, result in results.items():
            known = values.get(key, {})
            plain = value_in(result.measures, name, 0)
            found[key] = SelectionValues(
                known.get((AUGMENTED, JUDGED), plain),
                {domain: value for (split, domain), value in known.items()
                 if split == "in" and domain != JUDGED},
                last[key].target_out_accuracy if key in last else None,
            )  # fmt: skip
    return found


def outcomes_of(
    design: Design,
    counted: Iterable[tuple[RunSpec, Run]],
    arms: Mapping[str, Sequence[ArmResult]],
    last: Mapping[RunArm, LastEvaluation],
    scores: Mapping[RunArm, SelectionValues] = MappingProxyType({}),
) -> tuple[Outcome, ...]:
    """Return an outcome for each arm of each run.

    Args:
        design: what the study compares and chooses.
        counted: the finished runs, with the specs that the study has for them.
        arms: results of additional arms, by run.
        last: results at the last step, by run and arm.
        scores: values of the measure that selected, where it is not accuracy, by run and arm.
    """
    found = []
    for spec, run in counted:
        own = own_result(run)
        beside = [each for each in arms.get(run.run_id, ()) if each.arm != run.arm]
        found += [
            _outcome(
                design, spec, run, each,
                last.get((run.run_id, each.arm)), scores.get((run.run_id, each.arm)),
            )
            for each in ((own, *beside) if own else beside)
        ]  # fmt: skip
    return tuple(found)


def outcomes_so_far(
    standing: Standing, arms: Mapping[str, Sequence[ArmResult]]
) -> tuple[Outcome, ...]:
    """Return the outcomes of the finished runs of a study, without those at the last step."""
    study = standing.study
    counted = (
        (spec, run)
        for spec, run in zip(study.specs, standing.runs, strict=True)
        if run is not None and run.status == FINISHED
    )
    design = Design.of(study.specs, study.compare, study.choose)
    return outcomes_of(design, counted, arms, {})


def _outcome(
    design: Design,
    spec: RunSpec,
    run: Run,
    reached: ArmResult,
    last: LastEvaluation | None,
    scores: SelectionValues | None,
) -> Outcome:
    arm = None if reached.arm == run.arm else reached.arm
    return Outcome(
        dataset=spec.dataset,
        target=str(spec.target),
        setting=design.setting(spec, arm),
        cell=design.cell(spec),
        seed=(spec.seed, spec.trial_seed),
        run_id=run.run_id,
        steps=spec.steps,
        selected_step=reached.selected_step,
        id_accuracy=reached.id_accuracy,
        ood_accuracy=reached.ood_accuracy,
        domains=reached.domains,
        held_out_source=spec.held_out_source,
        last=last,
        measures=reached.measures,
        selected_on=spec.select_on,
        scores=scores,
    )
