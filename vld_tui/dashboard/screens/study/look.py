"""How a person looks at a study: what stands where, and what is shown of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from vld_tui.dashboard.draw.heat_map import HeatMap
from vld_tui.dashboard.draw.study_map import Axes, study_map, value_labels
from vld_tui.dashboard.draw.study_results import mean_points, target_points
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
    """What was chosen of a study. ``are_means``: the plane has means over targets.

    ``fields`` are those that vary, ``arms`` the ways of predicting that there are.
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
        """Return how a study is looked at first; what was chosen ``before`` stays where it can."""
        fields, arms = varying_fields(study), arms_of(study)
        look = cls(study, fields, arms, Axes(*usual_axes(study)), arms[0])
        if before is None:
            return look
        axes = before.axes if set(before.axes) <= set(fields) else look.axes
        arm = before.arm if before.arm in arms else look.arm
        return replace(look, axes=axes, arm=arm, measure=before.measure, are_means=before.are_means)

    def with_next_measure(self, state: StudyState) -> Self:
        """Return the look with the next of what the study's cells can show."""
        return replace(self, measure=_next((*quantities(state.results), WORST, DONE), self.measure))

    def with_next_arm(self) -> Self:
        """Return the look at another way of predicting."""
        return replace(self, arm=_next(self.arms, self.arm))

    def with_other_points(self) -> Self:
        """Return the look with means over targets in the plane, or with each target."""
        return replace(self, are_means=not self.are_means)

    def with_axis(self, axis: str, name: str) -> Self:
        """Return the look with a field across or down; they change places where it was there."""
        down, across = self.axes
        if name in (down, across):
            is_there = name == getattr(self.axes, axis)
            return self if is_there else replace(self, axes=Axes(across, down))
        return replace(self, axes=self.axes._replace(**{axis: name}))

    def choices(self) -> Iterator[tuple[str, str]]:
        """Yield the fields that can stand down or across, and their values in words."""
        for name in dict.fromkeys((*self.fields, *self.axes)):
            values = dict.fromkeys(place_of(spec, name) for spec in self.study.main_specs)
            yield name, ", ".join(value_labels(name, [*values]))

    def lay_out(self, state: StudyState) -> LaidOut:
        """Return the study as it is to be drawn; takes a moment where it has a thousand runs."""
        grid = grid_of(state, *self.axes, arm=self.arm, varying=self.fields)
        compared = compared_grid(state, arm=self.arm, varying=self.fields)
        heat_map = study_map(grid, self.axes, self.measure, self.arm)
        return LaidOut(state, self, grid, compared, heat_map, dict(self.points(compared)))

    def points(self, compared: StudyGrid) -> Iterator[tuple[RunPoint, StudyCell]]:
        """Yield the points of the plane, with the runs that each is the mean of."""
        made = mean_points if self.are_means else target_points
        return made(compared, self.study.compare)

    def place_name(self, grid: StudyGrid, row: int, column: int) -> str:
        """Return what the runs of a place of the grid have in common."""
        down = value_labels(self.axes.down, grid.rows)[row]
        across = value_labels(self.axes.across, grid.columns)[column]
        return f"{self.axes.down} {down} · {self.axes.across} {across}"


def _next(names: Sequence[str], name: str) -> str:
    """Return the name after one, the first after the last or after an unknown one."""
    return names[(names.index(name) + 1) % len(names)] if name in names else names[0]


@dataclass(frozen=True, eq=False)
class LaidOut:
    """A study as it is drawn: over the two fields, and over all that it compares, by target.

    ``points`` are those of the plane, with the runs that each is the mean of.
    """

    state: StudyState
    look: StudyLook
    grid: StudyGrid
    compared: StudyGrid
    heat_map: HeatMap
    points: Mapping[RunPoint, StudyCell]
