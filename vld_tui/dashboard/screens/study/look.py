"""The view of a study: its axes, measure and arm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from vld_tui.dashboard.draw.heat_map import HeatMap
from vld_tui.dashboard.draw.study import mean_points, target_points
from vld_tui.dashboard.draw.study_map import Axes, study_map, value_labels
from vld_tui.runs.run import RunPoint
from vld_tui.study.define.definition import Study
from vld_tui.study.results.cells import (
    DONE,
    WORST,
    StudyCell,
    StudyGrid,
    arms_of,
    compared_grid,
    grid_of,
    place_of,
    quantities,
    usual_axes,
    varying_fields,
)
from vld_tui.study.results.state import StudyState


@dataclass(frozen=True)
class StudyLook:
    """The chosen view of a study. ``are_means``: the plane shows means over targets.

    ``fields`` are those that vary, ``arms`` the evaluated arms.
    """

    study: Study = field(compare=False)
    fields: tuple[str, ...]
    arms: tuple[str, ...]
    axes: Axes
    arm: str
    measure: str = "ood"
    are_means: bool = False

    @classmethod
    def usual(cls, study: Study, before: Self | None = None) -> Self:
        """Return the default view of a study, keeping what was chosen ``before`` if possible."""
        fields, arms = varying_fields(study), arms_of(study)
        look = cls(study, fields, arms, Axes(*usual_axes(study)), arms[0])
        if before is None:
            return look
        axes = before.axes if set(before.axes) <= set(fields) else look.axes
        arm = before.arm if before.arm in arms else look.arm
        return replace(look, axes=axes, arm=arm, measure=before.measure, are_means=before.are_means)

    def with_next_measure(self, state: StudyState) -> Self:
        """Return the view with the next measure in the cells."""
        return replace(self, measure=_next((*quantities(state.results), WORST, DONE), self.measure))

    def with_next_arm(self) -> Self:
        """Return the view of the next arm."""
        return replace(self, arm=_next(self.arms, self.arm))

    def with_other_points(self) -> Self:
        """Return the view with means over targets in the plane, or with each target."""
        return replace(self, are_means=not self.are_means)

    def with_axis(self, axis: str, name: str) -> Self:
        """Return the view with a field for the columns or rows, swapping the two if needed."""
        down, across = self.axes
        if name in (down, across):
            is_there = name == getattr(self.axes, axis)
            return self if is_there else replace(self, axes=Axes(across, down))
        return replace(self, axes=self.axes._replace(**{axis: name}))

    def choices(self) -> Iterator[tuple[str, str]]:
        """Yield the fields for rows and columns, and their values as text."""
        for name in dict.fromkeys((*self.fields, *self.axes)):
            values = dict.fromkeys(place_of(spec, name) for spec in self.study.main_specs)
            yield name, ", ".join(value_labels(name, [*values]))

    def lay_out(self, state: StudyState) -> LaidOut:
        """Return the study as drawn; slow for a thousand runs."""
        grid = grid_of(state, *self.axes, arm=self.arm, varying=self.fields)
        compared = compared_grid(state, arm=self.arm, varying=self.fields)
        heat_map = study_map(grid, self.axes, self.measure, self.arm)
        return LaidOut(state, self, grid, compared, heat_map, dict(self.points(compared)))

    def points(self, compared: StudyGrid) -> Iterator[tuple[RunPoint, StudyCell]]:
        """Yield the points of the plane, each with the runs that it averages."""
        made = mean_points if self.are_means else target_points
        return made(compared, self.study.compare)

    def place_name(self, grid: StudyGrid, row: int, column: int) -> str:
        """Return the name of a cell of the grid."""
        down = value_labels(self.axes.down, grid.rows)[row]
        across = value_labels(self.axes.across, grid.columns)[column]
        return f"{self.axes.down} {down} · {self.axes.across} {across}"


def _next(names: Sequence[str], name: str) -> str:
    """Return the name after one, the first after the last or after an unknown one."""
    return names[(names.index(name) + 1) % len(names)] if name in names else names[0]


@dataclass(frozen=True, eq=False)
class LaidOut:
    """A study as drawn: over the two fields, and over all compared settings by target.

    ``points`` are those of the plane, each with the runs that it averages.
    """

    state: StudyState
    look: StudyLook
    grid: StudyGrid
    compared: StudyGrid
    heat_map: HeatMap
    points: Mapping[RunPoint, StudyCell]
