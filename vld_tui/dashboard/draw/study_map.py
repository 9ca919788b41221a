"""A study as drawn: its heat map over two fields, and the chosen axes, measure and arm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, Self

from rich.text import Text

from engine.protocol import MEASURED_ON
from engine.protocol.evaluated import Unit
from vld_tui.dashboard.draw.heat_map import HeatCell, HeatMap
from vld_tui.dashboard.draw.study import mean_points, target_points
from vld_tui.runs.run import LIVE, QUEUED, STOPPED, Run, RunPoint
from vld_tui.runs.statistics import Estimate
from vld_tui.store.fields import shown_name
from vld_tui.study.define.definition import Study
from vld_tui.study.results.cells import (
    DONE,
    OWN_ARM,
    SETTING,
    WORST,
    StudyCell,
    StudyGrid,
    arms_of,
    axis_value,
    compared_grid,
    complete_results,
    grid_of,
    has_settings,
    quantities,
    usual_axes,
    varying_fields,
)
from vld_tui.study.results.outcomes import Quantity
from vld_tui.study.results.state import StudyState
from vld_tui.views.cautions import measure_cautions
from vld_tui.views.run_columns import estimate_text
from vld_tui.views.study import (
    MISSING,
    cell_progress,
    mean_words,
    prediction_words,
    shown_setting,
)
from vld_tui.words.numbers import UNKNOWN, in_unit, plural
from vld_tui.words.palette import HEADING_STYLE, QUIET_STYLE, STATUS_SIGNS, status_style
from vld_tui.words.text import plain_text

MOST_NAMED: Final = 4
"""Maximum number of runs of a cell to name."""
Shown = Quantity | str
"""What cells show: a quantity, or the name of something else, such as ``DONE``."""


class Axes(NamedTuple):
    """The fields of the rows and of the columns."""

    down: str
    across: str


@dataclass(frozen=True)
class StudyLook:
    """The chosen view of a study. ``are_means``: the plane shows means over targets.

    ``fields`` are those that vary, ``arms`` the evaluated arms. ``is_by_column``: colours compare
    the cells of a column instead of all.
    """

    study: Study = field(compare=False)
    fields: tuple[str, ...]
    arms: tuple[str, ...]
    axes: Axes
    arm: str
    measure: str = "ood"
    are_means: bool = False
    is_by_column: bool = False

    @classmethod
    def usual(cls, study: Study, before: Self | None = None) -> Self:
        """Return the default view of a study, keeping what was chosen ``before`` if possible."""
        fields, arms = varying_fields(study), arms_of(study)
        look = cls(study, fields, arms, Axes(*usual_axes(study)), arms[0])
        if before is None:
            return look
        axes = before.axes if set(before.axes) <= {*fields, *look.axes} else look.axes
        arm = before.arm if before.arm in arms else look.arm
        return replace(before, study=study, fields=fields, arms=arms, axes=axes, arm=arm)

    def with_next_measure(self, state: StudyState) -> Self:
        """Return the view with the next measure in the cells."""
        return replace(self, measure=_next((*quantities(state.results), WORST, DONE), self.measure))

    def with_next_arm(self) -> Self:
        """Return the view of the next arm."""
        return replace(self, arm=_next(self.arms, self.arm))

    def with_other_points(self) -> Self:
        """Return the view with means over targets in the plane, or with each target."""
        return replace(self, are_means=not self.are_means)

    def with_other_colours(self) -> Self:
        """Return the view with colours that compare the cells of a column, or all cells."""
        return replace(self, is_by_column=not self.is_by_column)

    def with_axis(self, axis: str, name: str) -> Self:
        """Return the view with a field for the columns or rows, swapping the two if needed."""
        down, across = self.axes
        if name in (down, across):
            is_there = name == getattr(self.axes, axis)
            return self if is_there else replace(self, axes=Axes(across, down))
        return replace(self, axes=self.axes._replace(**{axis: name}))

    def choices(self) -> Iterator[tuple[str, str]]:
        """Yield the fields for rows and columns, and their values as text."""
        together = (SETTING,) if has_settings(self.study) else ()
        for name in dict.fromkeys((*together, *self.fields, *self.axes)):
            specs = self.study.main_specs
            values = dict.fromkeys(axis_value(self.study, spec, name) for spec in specs)
            yield name, ", ".join(value_labels(name, [*values]))

    def lay_out(self, state: StudyState) -> LaidOut:
        """Return the study as drawn; slow for a thousand runs."""
        grid = grid_of(state, *self.axes, arm=self.arm, varying=self.fields)
        compared = compared_grid(state, arm=self.arm, varying=self.fields)
        heat_map = study_map(
            grid, self.axes, self.measure, self.arm, is_by_column=self.is_by_column
        )
        return LaidOut(
            state, self, grid, compared, heat_map, dict(self.points(compared)),
            tuple(measure_cautions(complete_results(compared))),
        )  # fmt: skip

    def points(self, compared: StudyGrid) -> Iterator[tuple[RunPoint, StudyCell]]:
        """Yield the points of the plane, each with the runs that it averages."""
        made = mean_points if self.are_means else target_points
        return made(compared, self.study.compare)

    def cell_name(self, grid: StudyGrid, row: int, column: int) -> str:
        """Return the name of a cell of the grid."""
        down = value_labels(self.axes.down, grid.rows)[row]
        across = value_labels(self.axes.across, grid.columns)[column]
        pairs = zip(self.axes, (down, across), strict=True)
        return " · ".join(v if name == SETTING else f"{shown_name(name)} {v}" for name, v in pairs)


@dataclass(frozen=True, eq=False)
class LaidOut:
    """A study as drawn: over the two fields, and over all compared settings by target.

    ``points`` are those of the plane, each with the runs that it averages. ``cautions`` are about
    the results of the arm.
    """

    state: StudyState
    look: StudyLook
    grid: StudyGrid
    compared: StudyGrid
    heat_map: HeatMap
    points: Mapping[RunPoint, StudyCell]
    cautions: tuple[str, ...] = ()


def study_map(
    grid: StudyGrid, axes: Axes, measure: str, arm: str, *, is_by_column: bool = False
) -> HeatMap:
    """Return the heat map of a study, with ``measure`` in the cells; better values are brighter,
    compared with those of the same column or with all."""
    places = [
        [grid.at(row, column) for column in range(len(grid.columns))]
        for row in range(len(grid.rows))
    ]
    known = quantities(result for cell in grid.cells.values() for result in cell.results)
    shown = known.get(measure, measure)
    values = [[_value(cell, shown) for cell in row] for row in places]
    is_reversed = isinstance(shown, Quantity) and shown.higher_is_better is False
    unit = shown.unit if isinstance(shown, Quantity) else "share"
    whole = _Shares([value for row in values for value in row], is_reversed=is_reversed)
    shares = [whole] * len(grid.columns)
    if is_by_column:
        shares = [_Shares(column, is_reversed=is_reversed) for column in zip(*values, strict=True)]
    seeds = _seeds(grid, shown)
    return HeatMap(
        title=_title(grid, axes, shown, arm, seeds),
        corner=shown_name(axes.down),
        rows=value_labels(axes.down, grid.rows),
        columns=value_labels(axes.across, grid.columns),
        cells=tuple(
            tuple(
                _heat_cell(cell, shown, each.of(value), names_seeds=len(seeds) > 1)
                for cell, each, value in zip(row, shares, of_row, strict=True)
            )
            for row, of_row in zip(places, values, strict=True)
        ),
        low="worst" if is_by_column else whole.text(whole.low, unit),
        high="best of column" if is_by_column else whole.text(whole.high, unit),
    )


def _seeds(grid: StudyGrid, shown: Shown) -> set[int]:
    """Return the numbers of seeds behind the numbers of the cells."""
    found = (_estimate(cell, shown) for cell in grid.cells.values())
    return {each.n for each in found if each is not None}


def value_labels(field: str, values: Sequence[Any]) -> tuple[str, ...]:
    """Return the names of a field's values; targets include their data set if there are several."""
    if field == SETTING:
        return tuple(plain_text(setting.label) for setting in values)
    if field != "target":
        return tuple(shown_setting(field, value) for value in values)
    is_one = len({dataset for dataset, _ in values}) == 1
    return tuple(
        plain_text(str(target) if is_one else f"{dataset}/{target}") for dataset, target in values
    )


def cell_text(cell: StudyCell, name: str) -> Text:
    """Return the results of a cell's runs, and the status of each."""
    text = Text()
    text.append(name, HEADING_STYLE)
    text.append(f"  {_cell_words(cell)}\n", QUIET_STYLE)
    if cell.is_complete:
        known = [*quantities(cell.results).values()]
        domain, accuracy = cell.worst or ("", None)
        parts = [
            f"{each.heading} {estimate_text(cell.estimate(each), each.unit)}" for each in known
        ]
        parts.insert(3, f"worst domain {estimate_text(accuracy)} ({plain_text(domain)})")
        text.append("  ".join(parts) + "\n")
    for status, shown in _told_runs(cell.known):
        text.append(STATUS_SIGNS.get(status, "?"), status_style(status))
        text.append(f" {shown}  ", QUIET_STYLE)
    if missing := len(cell.specs) - len(cell.known):
        text.append(f"{MISSING} {plural(missing, 'run')} missing", QUIET_STYLE)
    return text


def _cell_words(cell: StudyCell) -> str:
    """Return what the numbers of a cell are, or why there are none yet."""
    if not cell.is_complete:
        runs = f"{len(cell.finished)} of {plural(len(cell.specs), 'run')} finished"
        return f"{runs}; numbers appear when all are finished" if cell.finished else runs
    seeds = len({each.seed for each in cell.results})
    spread = " ± sd over seeds" if seeds > 1 else ""
    return f"%, mean of {plural(len(cell.specs), 'run')} ({plural(seeds, 'seed')}){spread}"


def _told_runs(runs: Sequence[Run]) -> Iterator[tuple[str, str]]:
    """Yield the status and name of each run, or for many runs the count of each status."""
    if len(runs) > MOST_NAMED:
        for status, count in Counter(run.status for run in runs).items():
            yield status, f"{count} {status}"
        return
    for run in runs:
        how = f" {run.step / run.steps:.0%}" if run.is_live and run.steps else ""
        yield run.status, f"{plain_text(run.label)}{how}"


class _Shares:
    """The range of values, or reversed."""

    def __init__(self, values: Sequence[float | None], *, is_reversed: bool) -> None:
        known = [value for value in values if value is not None]
        ends = min(known, default=None), max(known, default=None)
        self.low, self.high = ends[::-1] if is_reversed else ends

    def of(self, value: float | None) -> float | None:
        """Return a value's share of the range; one half if all are equal."""
        if value is None or self.low is None or self.high is None:
            return None
        span = self.high - self.low
        return (value - self.low) / span if span else 0.5

    def text(self, value: float | None, unit: Unit) -> str:
        """Return an end of the scale as text."""
        if value is None or self.low == self.high:
            return ""
        if unit != "share":
            return in_unit(value, unit)
        return f"{100 * value:z.1f}".replace("-", "−")


def _title(grid: StudyGrid, axes: Axes, shown: Shown, arm: str, seeds: set[int]) -> str:
    of_arm = "" if arm == OWN_ARM or shown == DONE else f"{prediction_words(arm)}: "
    means = mean_words([shown_name(name) for name in grid.over if name not in MEASURED_ON], seeds)
    spread = "" if shown == DONE else f", {means}"
    apart = [name for name in grid.over if name in MEASURED_ON and shown != DONE]
    hint = f"; {shown_name(apart[0])} is not averaged: choose it as an axis" if apart else ""
    if isinstance(shown, Quantity):
        is_lower = shown.higher_is_better is False
        name = f"{shown.label}{' (lower is better)' if is_lower else ''}"
    else:
        name = {WORST: "worst domain", DONE: "runs finished"}.get(shown, shown.replace("_", " "))
    return f"{of_arm}{name} by {shown_name(axes.across)}{spread}{hint}"


def _value(cell: StudyCell | None, shown: Shown) -> float | None:
    """Return the value that colours a cell; None if it is not comparable with others, such as a
    mean over only some targets."""
    if cell is None:
        return None
    if shown == DONE:
        return len(cell.finished) / len(cell.specs)
    found = _estimate(cell, shown)
    return None if found is None else found.mean


def _estimate(cell: StudyCell, shown: Shown) -> Estimate | None:
    if isinstance(shown, Quantity):
        return cell.estimate(shown)
    worst = cell.worst if shown == WORST else None
    return None if worst is None else worst[1]


def _heat_cell(
    cell: StudyCell | None, shown: Shown, share: float | None, *, names_seeds: bool
) -> HeatCell:
    if cell is None:
        return HeatCell("")
    sign = _sign(cell)
    if shown == DONE:
        return HeatCell(f"{len(cell.finished)}/{len(cell.specs)}", sign, share)
    found = _estimate(cell, shown)
    if found is not None:
        unit = shown.unit if isinstance(shown, Quantity) else "share"
        return HeatCell(estimate_text(found, unit), f"×{found.n}" if names_seeds else "", share)
    if len(cell.finished) == len(cell.specs):
        return HeatCell(UNKNOWN)  # none of this arm, or of this measure
    if cell.results:
        return HeatCell(cell_progress(cell), sign)
    return HeatCell(sign or MISSING)


def _sign(cell: StudyCell) -> str:
    """Return the state of the unfinished runs: failures first, stopped ones last."""
    open_runs = [run for run in cell.known if run.status != "finished"]
    if failed := [run for run in open_runs if run.status not in (*LIVE, QUEUED, STOPPED)]:
        return f"{STATUS_SIGNS.get(failed[0].status, '?')}{len(failed)}"
    if live := [run for run in open_runs if run.is_live]:
        return f"{STATUS_SIGNS['running']}{_done(live):.0%}"
    if any(run.status == QUEUED for run in open_runs):
        return STATUS_SIGNS[QUEUED]
    return f"{STATUS_SIGNS[STOPPED]}{len(open_runs)}" if open_runs else ""


def _done(runs: Sequence[Run]) -> float:
    """Return the share of completed steps."""
    return sum(run.step for run in runs) / max(1, sum(run.steps for run in runs))


def _next(names: Sequence[str], name: str) -> str:
    """Return the name after one, the first after the last or after an unknown one."""
    return names[(names.index(name) + 1) % len(names)] if name in names else names[0]
