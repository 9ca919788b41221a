"""A study laid out over two of its fields: the results of each cell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from engine.protocol import FIELDS, MEASURED_ON, NO_TARGET, SEEDS, RunSpec, fields_with
from vld_tui.runs.run import Run
from vld_tui.runs.statistics import Estimate
from vld_tui.study.define.definition import Study
from vld_tui.study.results.outcomes import (
    ID,
    OOD,
    Outcome,
    Quantity,
    Setting,
    known_measures,
    outcomes_so_far,
    quantities_of,
    worst_domain,
)
from vld_tui.study.results.state import StudyState
from vld_tui.study.standing import Standing

WORST: Final = "worst"
DONE: Final = "done"
OWN_ARM: Final = "own"
"""The arm of a run's own network."""

_UNCOUNTED: Final = (*fields_with("implied"), "keep_checkpoints")


def _gap(outcome: Outcome) -> float | None:
    ood_accuracy = outcome.ood_accuracy
    return None if ood_accuracy is None else ood_accuracy - outcome.id_accuracy


_GAP: Final = Quantity("ood_less_id", "gap", "gap, OOD − ID,", _gap)


def quantities(results: Iterable[Outcome]) -> dict[str, Quantity]:
    """Return what the cells of a study can show besides :data:`WORST` and :data:`DONE`, by name:
    accuracies, and the measures of which there are values."""
    measures = (each for name in known_measures(results) for each in reversed(quantities_of(name)))
    return {"ood": OOD, "id": ID, "gap": _GAP, **{each.key: each for each in measures}}


@dataclass(frozen=True)
class StudyCell:
    """Runs of a study that share two values: the requested specs and the existing runs.

    ``results`` are the outcomes of an arm of the finished runs.
    """

    specs: tuple[RunSpec, ...]
    runs: tuple[Run | None, ...]
    results: tuple[Outcome, ...]

    @classmethod
    def joined(cls, cells: Sequence[StudyCell]) -> StudyCell:
        """Return the union of several cells."""
        return cls(
            tuple(spec for cell in cells for spec in cell.specs),
            tuple(run for cell in cells for run in cell.runs),
            tuple(result for cell in cells for result in cell.results),
        )

    @property
    def known(self) -> tuple[Run, ...]:
        """Return the existing runs."""
        return tuple(run for run in self.runs if run is not None)

    @property
    def finished(self) -> tuple[Run, ...]:
        """Return the runs that are finished."""
        return tuple(run for run in self.known if run.status == "finished")

    @property
    def is_complete(self) -> bool:
        """Return whether every run is finished and has this arm."""
        return len(self.results) == len(self.specs)

    def estimate(self, quantity: Quantity) -> Estimate | None:
        """Return the mean over seeds.

        None while it is not comparable with that of other cells: a run is missing or lacks the
        value (except the OOD values of runs without a target), or ID accuracies are measured on
        different images.
        """
        lacking = (each for each in self.results if quantity.of(each) is None)
        if any(each.target != str(NO_TARGET) for each in lacking):
            return None
        return quantity.estimate(self._comparable)

    @property
    def worst(self) -> tuple[str, Estimate] | None:
        """Return the domain with the lowest mean accuracy over all targets, and that accuracy;
        None while it is not comparable."""
        return worst_domain(self._comparable)

    @property
    def _comparable(self) -> tuple[Outcome, ...]:
        """Return the outcomes; none while runs are missing, or if images differ."""
        images = {tuple(getattr(spec, name) for name in MEASURED_ON) for spec in self.specs}
        return self.results if self.is_complete and len(images) == 1 else ()


@dataclass(frozen=True)
class StudyGrid:
    """A study in rows and columns; ``over`` are fields that cells average over, besides seeds."""

    rows: tuple[Any, ...]
    columns: tuple[Any, ...]
    cells: Mapping[tuple[Any, Any], StudyCell]
    over: tuple[str, ...]

    def at(self, row: int, column: int) -> StudyCell | None:
        """Return the runs of a cell, or None if the study has none there."""
        return self.cells.get((self.rows[row], self.columns[column]))


SETTING: Final = "setting"
"""Stands for all compared fields together on an axis of a grid."""
NO_GRID: Final = StudyGrid((), (), {}, ())


def varying_fields(study: Study) -> tuple[str, ...]:
    """Return the fields with several values, compared fields first."""
    specs = study.main_specs
    first = (*study.compare, "target", "dataset", *study.choose)
    names = (*first, *(name for name in FIELDS if name not in SEEDS), *SEEDS)
    found = {
        name: None
        for name in names
        if name not in _UNCOUNTED and len({grid_value(spec, name) for spec in specs}) > 1
    }
    return tuple(found)


def usual_axes(study: Study) -> tuple[str, str]:
    """Return the default row and column fields: the compared field, or all compared fields
    together, by target."""
    varying = varying_fields(study)
    compared = [name for name in study.compare if name in varying]
    others = [name for name in varying if name != "target"]
    down = SETTING if has_settings(study) else (*compared, *others, "seed")[0]
    return down, "target" if down != "target" else "seed"


def has_settings(study: Study) -> bool:
    """Return whether a study varies several compared fields."""
    return len(set(study.compare).intersection(varying_fields(study))) > 1


def arms_of(study: Study) -> tuple[str, ...]:
    """Return the arms of a study's runs: their own and additional ones."""
    found = (arm for spec in study.specs for arm in spec.arms)
    return tuple(dict.fromkeys((OWN_ARM, *found)))


def grid_of(
    state: StudyState, down: str, across: str, *, arm: str, varying: Sequence[str]
) -> StudyGrid:
    """Lay a study out over two fields, without runs with a held-out source.

    ``varying`` are the fields of :func:`varying_fields`; ``down`` and ``across`` one of them, or
    :data:`SETTING`.
    """
    if state.standing is None:
        return NO_GRID
    study = state.standing.study
    places = partial(axis_value, study, field=down), partial(axis_value, study, field=across)
    return _grid(state.standing, state.results, *places, arm=arm, varying=varying)


def compared_grid(state: StudyState, *, arm: str, varying: Sequence[str]) -> StudyGrid:
    """Lay a study out with the compared fields as rows, data sets and targets as columns."""
    if state.standing is None:
        return NO_GRID
    return _compared(state.standing, state.results, arm=arm, varying=varying)


def complete_results(grid: StudyGrid) -> list[Outcome]:
    """Return the results of the cells of which every run is finished."""
    cells = (cell for cell in grid.cells.values() if cell.is_complete)
    return [each for cell in cells for each in cell.results]


def grid_so_far(standing: Standing) -> StudyGrid:
    """Return the same of the own networks of a study's runs."""
    return _compared(standing, outcomes_so_far(standing, {}), arm=OWN_ARM, varying=())


def _compared(
    standing: Standing, results: Sequence[Outcome], *, arm: str, varying: Sequence[str]
) -> StudyGrid:
    def values(spec: RunSpec) -> tuple[Any, ...]:
        return tuple(getattr(spec, name) for name in standing.study.compare)

    across = partial(grid_value, field="target")
    return _grid(standing, results, values, across, arm=arm, varying=varying)


def _grid(
    standing: Standing,
    results: Sequence[Outcome],
    down: Callable[[RunSpec], Any],
    across: Callable[[RunSpec], Any],
    *,
    arm: str,
    varying: Sequence[str],
) -> StudyGrid:
    of_run = {each.run_id: each for each in results if (each.setting.arm or OWN_ARM) == arm}
    found: dict[tuple[Any, Any], list[tuple[RunSpec, Run | None]]] = {}
    for spec, run in zip(standing.study.specs, standing.runs, strict=True):
        if spec.held_out_source is None:
            found.setdefault((down(spec), across(spec)), []).append((spec, run))
    cells = {}
    for place, members in found.items():
        specs, runs = zip(*members, strict=True)
        reached = (of_run[run.run_id] for run in runs if run and run.run_id in of_run)
        cells[place] = StudyCell(specs, runs, tuple(reached))
    rows, columns = (tuple(dict.fromkeys(place[i] for place in found)) for i in (0, 1))
    over = (
        name
        for name in varying
        if name not in SEEDS
        and any(len({grid_value(spec, name) for spec in cell.specs}) > 1 for cell in cells.values())
    )
    return StudyGrid(rows, columns, cells, tuple(over))


def axis_value(study: Study, spec: RunSpec, field: str) -> Any:
    """Return the value that places a run on an axis: of a field, or its setting."""
    if field == SETTING:
        return Setting(tuple((name, getattr(spec, name)) for name in study.compare))
    return grid_value(spec, field)


def grid_value(spec: RunSpec, field: str) -> Any:
    """Return the value that places a run; a target includes its data set."""
    if field == "target":
        return spec.dataset, spec.target
    return getattr(spec, field)
