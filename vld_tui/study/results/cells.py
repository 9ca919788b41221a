"""A study laid out over two of its fields: the results of each cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from engine.protocol import FIELDS, MEASURED_ON, SEEDS, RunSpec, fields_with
from vld_tui.runs.run import ArmResult, Run, own_result
from vld_tui.runs.statistics import Estimate
from vld_tui.study.define.definition import Study
from vld_tui.study.results.groups import RunGroup, group_by_seed
from vld_tui.study.results.seeds import over_seeds, over_seeds_of
from vld_tui.study.state import StudyState

Measure = Literal["ood", "id", "gap", "worst", "done"]
MEASURES: Final[tuple[Measure, ...]] = ("ood", "id", "gap", "worst", "done")
"""The metrics of a cell, in display order."""
OWN_ARM: Final = "own"
"""The arm of a run's own network."""

_UNCOUNTED: Final = (*fields_with("implied"), "keep_checkpoints")


@dataclass(frozen=True)
class StudyCell:
    """Runs of a study that share two values: the requested specs and the existing runs.

    ``reached`` are the results of an arm of the finished runs, by run.
    """

    specs: tuple[RunSpec, ...]
    runs: tuple[Run | None, ...]
    reached: Mapping[str, ArmResult]

    @classmethod
    def joined(cls, cells: Sequence[StudyCell]) -> StudyCell:
        """Return the union of several cells."""
        return cls(
            tuple(spec for cell in cells for spec in cell.specs),
            tuple(run for cell in cells for run in cell.runs),
            {run_id: result for cell in cells for run_id, result in cell.reached.items()},
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
        return len(self.reached) == len(self.specs)

    def estimate(self, measure: Measure) -> Estimate | None:
        """Return the mean over seeds, see :func:`over_seeds`; None before a run has finished, or if
        ID accuracies are measured on different images."""
        if measure == "worst":
            worst = self._worst
            return None if worst is None else worst[1]
        return over_seeds(self._measured_runs, self._measured(measure))

    @property
    def worst_domain(self) -> str | None:
        """Return the domain with the lowest mean accuracy over all targets, or None."""
        worst = self._worst
        return None if worst is None else worst[0]

    @property
    def _measured_runs(self) -> list[Run]:
        """Return the finished runs that have this arm; empty if images differ."""
        if len({tuple(getattr(spec, name) for name in MEASURED_ON) for spec in self.specs}) > 1:
            return []
        return [run for run in self.finished if run.run_id in self.reached]

    @property
    def _worst(self) -> tuple[str, Estimate] | None:
        """Return the domain with the lowest mean accuracy, and that accuracy; means are per target,
        since runs with another target trained on other domains."""
        of_target: dict[tuple[str, str | None], list[RunGroup]] = {}
        for group in group_by_seed(self._measured_runs):
            spec = group.runs[0].spec
            of_target.setdefault((spec.dataset, spec.target), []).append(group)
        found = [
            (domain, accuracy)
            for groups in of_target.values()
            for domain in self._domains(groups)
            if (accuracy := over_seeds_of(groups, self._on(domain))) is not None
        ]
        return min(found, key=lambda each: (each[1].mean, each[0]), default=None)

    def _domains(self, groups: Sequence[RunGroup]) -> dict[str, None]:
        """Return the domains that were measured, each once."""
        runs = (run for group in groups for run in group.runs)
        return dict.fromkeys(name for run in runs for name in self.reached[run.run_id].domains)

    def _on(self, domain: str) -> Callable[[Run], float | None]:
        return lambda run: self.reached[run.run_id].domains.get(domain)

    def _measured(self, measure: Measure) -> Callable[[Run], float | None]:
        def value(run: Run) -> float | None:
            result = self.reached[run.run_id]
            match measure:
                case "ood":
                    return result.ood_accuracy
                case "id":
                    return result.id_accuracy
                case "gap":
                    ood = result.ood_accuracy
                    return None if ood is None else ood - result.id_accuracy
                case _:
                    return None

        return value


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


NO_GRID: Final = StudyGrid((), (), {}, ())


def varying_fields(study: Study) -> tuple[str, ...]:
    """Return the fields with several values, compared fields first."""
    specs = study.main_specs
    first = (*study.compare, "target", "dataset", *study.choose)
    names = (*first, *(name for name in FIELDS if name not in SEEDS), *SEEDS)
    found = {
        name: None
        for name in names
        if name not in _UNCOUNTED and len({place_of(spec, name) for spec in specs}) > 1
    }
    return tuple(found)


def usual_axes(study: Study) -> tuple[str, str]:
    """Return the default row and column fields: the compared field, by target."""
    varying = varying_fields(study)
    compared = [name for name in study.compare if name in varying]
    others = [name for name in varying if name != "target"]
    down = (*compared, *others, "seed")[0]
    return down, "target" if down != "target" else "seed"


def arms_of(study: Study) -> tuple[str, ...]:
    """Return the arms of a study's runs: their own and additional ones."""
    found = (arm for spec in study.specs for arm in spec.arms)
    return tuple(dict.fromkeys((OWN_ARM, *found)))


def grid_of(
    state: StudyState, down: str, across: str, *, arm: str, varying: Sequence[str]
) -> StudyGrid:
    """Lay a study out over two fields, without runs with a held-out source.

    ``varying`` are the fields of :func:`varying_fields`.
    """
    return _grid(
        state,
        lambda spec: place_of(spec, down),
        lambda spec: place_of(spec, across),
        arm=arm,
        varying=varying,
    )


def compared_grid(state: StudyState, *, arm: str, varying: Sequence[str]) -> StudyGrid:
    """Lay a study out with the compared fields as rows, data sets and targets as columns."""
    compare = () if state.standing is None else state.standing.study.compare

    def values(spec: RunSpec) -> tuple[Any, ...]:
        return tuple(getattr(spec, name) for name in compare)

    return _grid(state, values, lambda spec: place_of(spec, "target"), arm=arm, varying=varying)


def _grid(
    state: StudyState,
    down: Callable[[RunSpec], Any],
    across: Callable[[RunSpec], Any],
    *,
    arm: str,
    varying: Sequence[str],
) -> StudyGrid:
    if (standing := state.standing) is None:
        return NO_GRID
    found: dict[tuple[Any, Any], list[tuple[RunSpec, Run | None]]] = {}
    for spec, run in zip(standing.study.specs, standing.runs, strict=True):
        if spec.held_out_source is None:
            found.setdefault((down(spec), across(spec)), []).append((spec, run))
    cells = {place: _cell(members, state.arms, arm) for place, members in found.items()}
    rows, columns = (tuple(dict.fromkeys(place[i] for place in found)) for i in (0, 1))
    over = (
        name
        for name in varying
        if name not in SEEDS
        and any(len({place_of(spec, name) for spec in cell.specs}) > 1 for cell in cells.values())
    )
    return StudyGrid(rows, columns, cells, tuple(over))


def place_of(spec: RunSpec, field: str) -> Any:
    """Return the value that places a run; a target includes its data set."""
    if field == "target":
        return spec.dataset, spec.target
    return getattr(spec, field)


def _cell(
    members: Sequence[tuple[RunSpec, Run | None]],
    arms: Mapping[str, Sequence[ArmResult]],
    arm: str,
) -> StudyCell:
    reached: dict[str, ArmResult] = {}
    for _, run in members:
        if run is None or run.status != "finished":
            continue
        others = (each for each in arms.get(run.run_id, ()) if each.arm == arm)
        result = own_result(run) if arm == OWN_ARM else next(others, None)
        if result is not None:
            reached[run.run_id] = result
    specs, runs = zip(*members, strict=True)
    return StudyCell(specs, runs, reached)
