"""Runs side by side: differing settings, and results."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

from engine.protocol import (
    FIELDS,
    MEASURES,
    NOT_RESULT,
    SEEDS,
    Summary,
    measures_in,
    shown_value,
    value_in,
)
from vld_tui.runs.imported import ImportedRun
from vld_tui.runs.run import ArmResult, Run
from vld_tui.runs.statistics import FEWEST, Estimate
from vld_tui.study.results.groups import RunGroup, differing_fields, group_labels
from vld_tui.views.combined import method_name, networks
from vld_tui.words.columns import GAP
from vld_tui.words.numbers import UNKNOWN, decimal, duration, in_unit, percent, signed_points
from vld_tui.words.text import fit, folded, plain_text, width

Show = Callable[[float], str]
INTERVALS: Final = (
    f"±: 95% interval over {FEWEST} or more seeds (Student's t); sd: with only 2 seeds"
)

SELECTED: Final = "selected step"
"""The label of the step at which accuracies are reported, below them."""
MOST_CELLS: Final = 28
"""Width of a column above which its texts are folded."""
FEWEST_LABEL_CELLS: Final = 12

ArmsOfRuns = Mapping[str, Sequence[ArmResult]]
"""Results of additional arms, by run."""


class Comparison(NamedTuple):
    """A table with a column for each group of runs and each imported run.

    ``rows`` begin with their label. ``note`` explains the ± in them, if there is any.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


class Section(NamedTuple):
    """Some columns of a comparison, whole: those from ``first`` to before ``stop``.

    The first ``heads`` of the ``lines`` are the heading. Each has the label, then a cell for each
    column, in exactly their widths.
    """

    first: int
    stop: int
    heads: int
    lines: tuple[tuple[str, ...], ...]


def compare(
    groups: Sequence[RunGroup],
    arms: ArmsOfRuns | None = None,
    imported: Sequence[ImportedRun] = (),
) -> Comparison:
    """Compare groups of runs: the fields that differ, then the results.

    Accuracies are those at each arm's selected step. Imported runs have columns of their own.
    """
    labels = [*group_labels(groups), *(f"{each.name} (imported)" for each in imported)]
    rows = [*_combinations(groups), *_differences(groups, imported), *_results(groups, arms or {})]
    return Comparison(
        tuple(map(plain_text, labels)),
        tuple((*row, *(_imported_cell(row[0], each) for each in imported)) for row in rows),
        INTERVALS if any(len(group.runs) > 1 for group in groups) else "",
    )


def section_from(table: Comparison, first: int, cells: int | None) -> Section:
    """Return the columns from ``first`` that fit in ``cells``, at least one; None: all."""
    columns = [*zip(table.headings, *(row[1:] for row in table.rows), strict=True)]
    labels = ["", *(row[0] for row in table.rows)]
    label_cells = max(FEWEST_LABEL_CELLS, *map(width, labels))
    widths = [max(map(width, column)) for column in columns]
    stop = len(columns)
    if cells is not None:
        label_cells = min(label_cells, max(FEWEST_LABEL_CELLS, cells * 2 // 5))
        room = max(FEWEST_LABEL_CELLS, cells - label_cells - len(GAP))
        widths = [min(each, MOST_CELLS, room) for each in widths]
        ends = itertools.accumulate(each + len(GAP) for each in widths[first:])
        fitting = sum(end <= cells - label_cells for end in ends)
        stop = first + max(1, fitting)
    shown = columns[first:stop]
    labels[0] = "" if stop - first == len(columns) else f"{first + 1}–{stop} of {len(columns)}"
    lines: list[tuple[str, ...]] = []
    heads = 0
    for at, label in enumerate(labels):
        parts = [folded(label, label_cells), *(
            folded(column[at], each)
            for column, each in zip(shown, widths[first:stop], strict=True)
        )]  # fmt: skip
        for pieces in itertools.zip_longest(*parts, fillvalue=""):
            texts = [fit(pieces[0], label_cells)]
            texts += [
                fit(piece, each, right=True)
                for piece, each in zip(pieces[1:], widths[first:stop], strict=True)
            ]
            lines.append(tuple(texts))
        heads = heads or len(lines)
    return Section(first, stop, heads, tuple(lines))


def compare_lines(
    groups: Sequence[RunGroup],
    arms: ArmsOfRuns | None = None,
    imported: Sequence[ImportedRun] = (),
    *,
    cells: int | None,
) -> Iterator[str]:
    """Yield a comparison, in several tables below one another if the columns do not fit."""
    table = compare(groups, arms, imported)
    stop = 0
    while stop < len(table.headings):
        section = section_from(table, stop, cells)
        if stop:
            yield ""
        yield from (GAP.join(line).rstrip() for line in section.lines)
        stop = section.stop
    if table.note:
        yield table.note


def _combinations(groups: Sequence[RunGroup]) -> Iterator[list[str]]:
    """Yield the method and the parents of combining runs."""
    combined = [group.combination for group in groups]
    if any(combined):
        yield ["method", *(method_name(each) if each else UNKNOWN for each in combined)]
        yield ["networks", *(networks(each) if each else UNKNOWN for each in combined)]


def _differences(
    groups: Sequence[RunGroup], imported: Sequence[ImportedRun]
) -> Iterator[list[str]]:
    differing = differing_fields(groups)
    for name in FIELDS:
        if name not in differing and not _differs_from_imported(name, groups, imported):
            continue
        values = (group.values(name) for group in groups)
        cells = [plain_text(", ".join(map(shown_value, each)) or UNKNOWN) for each in values]
        yield [FIELDS[name].label, *cells]


def _differs_from_imported(
    name: str, groups: Sequence[RunGroup], imported: Sequence[ImportedRun]
) -> bool:
    """Return whether imported runs have other values of a field that affects the result."""
    if name in NOT_RESULT or name in SEEDS:
        return False
    own = {_comparable(value) for group in groups for value in group.values(name)}
    theirs = {_comparable(run.settings[name]) for run in imported if name in run.settings}
    return bool(theirs) and len(own | theirs) > 1


def _comparable(value: object) -> object:
    """Return a value that equals that of a tracker, which may have turned 10 into 10.0."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number else shown_value(value)


def _imported_cell(label: str, run: ImportedRun) -> str:
    """Return what is known of an imported run in a row with this label."""
    if label in _IMPORTED:
        return _IMPORTED[label](run)
    name = _FIELD_NAMES.get(label)
    if name is None or name not in run.settings:
        return UNKNOWN
    return plain_text(shown_value(run.settings[name]))


def _imported_gap(run: ImportedRun) -> str:
    known = run.id_accuracy, run.ood_accuracy
    return UNKNOWN if None in known else signed_points((known[1] or 0.0) - (known[0] or 0.0))


_FIELD_NAMES: Final = {info.label: name for name, info in FIELDS.items()}
_IMPORTED: Final[Mapping[str, Callable[[ImportedRun], str]]] = {
    "status": lambda run: run.status or UNKNOWN,
    "ID": lambda run: percent(run.id_accuracy),
    "OOD": lambda run: percent(run.ood_accuracy),
    "OOD − ID": _imported_gap,
    SELECTED: lambda run: UNKNOWN if run.selected_step is None else f"{run.selected_step:,}",
}
"""The rows that an imported run has values of."""


def _results(groups: Sequence[RunGroup], arms: ArmsOfRuns) -> Iterator[list[str]]:
    runs = [run for group in groups for run in group.runs]
    yield ["status", *(_statuses(group) for group in groups)]
    yield _row("ID", groups, lambda run: run.id_accuracy, percent)
    is_augmented = any(run.spec.augment_validation for run in runs)
    if is_augmented:
        yield _row("ID, plain images", groups, _plain_id, percent)
    yield _row("OOD", groups, lambda run: run.ood_accuracy, percent)
    # The target is never augmented, so the difference is between plain images.
    yield _row(f"OOD − ID{', plain images' if is_augmented else ''}", groups, _gap, signed_points)
    yield [SELECTED, *(_steps(run.selected_step for run in group.runs) for group in groups)]
    yield from _measures("", groups, {run.run_id: run.measures for run in runs})
    for arm in sorted({each.arm for found in arms.values() for each in found}):
        of_arm = _of_arm(arms, arm)
        yield _row(f"{plain_text(arm)} ID", groups, partial(_arm_id, of_arm), percent)
        if is_augmented:
            label = f"{plain_text(arm)} ID, plain images"
            yield _row(label, groups, partial(_arm_plain_id, of_arm), percent)
        yield _row(f"{plain_text(arm)} OOD", groups, partial(_arm_ood, of_arm), percent)
        label = f"{plain_text(arm)} {SELECTED}"
        yield [label, *(_steps(_arm_step(of_arm, run) for run in group.runs) for group in groups)]
        found = {run_id: each.measures for run_id, each in of_arm.items()}
        yield from _measures(f"{plain_text(arm)} ", groups, found)
    for domain in sorted({name for run in runs for name in run.domains}):
        targets = {run.target for run in runs}
        label = f"  {plain_text(domain)}{' (target)' if targets == {domain} else ''}"
        yield _row(label, groups, partial(_accuracy, domain), percent)
    yield _row("loss", groups, lambda run: run.loss, decimal)
    yield _means("time", groups, lambda run: run.wall_s, duration)


def _measures(
    prefix: str, groups: Sequence[RunGroup], found: Mapping[str, Summary]
) -> Iterator[list[str]]:
    """Yield the ID and OOD value of each measure of which there is one."""

    def measured(run: Run, name: str, index: int) -> float | None:
        return value_in(found.get(run.run_id, {}), name, index)

    for name in measures_in(found.values()):
        show = partial(in_unit, unit=MEASURES[name].unit)
        for index, which in MEASURES[name].places:
            label = f"{prefix}{which.upper()} {MEASURES[name].label}"
            yield _row(label, groups, partial(measured, name=name, index=index), show)


def _row(
    label: str, groups: Sequence[RunGroup], measured: Callable[[Run], float | None], show: Show
) -> list[str]:
    return [label, *(_cell(group.estimate(measured), show, _evaluated(group)) for group in groups)]


def _evaluated(group: RunGroup) -> int:
    """Return the number of seeds with a result."""
    found = group.estimate(lambda run: run.id_accuracy)
    return 0 if found is None else found.n


def _means(
    label: str, groups: Sequence[RunGroup], measured: Callable[[Run], float | None], show: Show
) -> list[str]:
    """Return a row of means without intervals."""
    found = (group.estimate(measured) for group in groups)
    return [label, *(UNKNOWN if each is None else show(each.mean) for each in found)]


def _cell(found: Estimate | None, show: Show, evaluated: int) -> str:
    """Format a mean; its number of seeds is shown if other rows are of more."""
    if found is None:
        return UNKNOWN
    mean, count = show(found.mean), f"n={found.n}"
    if found.n < evaluated:
        count += f" of {evaluated}"
    if found.half_interval is not None:
        interval = f"{mean} ± {_spread(found.half_interval, show)}"
        return f"{interval} ({count})" if found.n < evaluated else interval
    if found.deviation is not None:
        return f"{mean} (sd {_spread(found.deviation, show)}, {count})"
    return f"{mean} ({count})" if found.n < evaluated else mean


def _spread(value: float, show: Show) -> str:
    """Format a spread like its mean, whose unit and sign are not repeated."""
    return show(value).strip("+%")


def _accuracy(domain: str, run: Run) -> float | None:
    return run.domains.get(domain)


def _plain_id(run: Run) -> float | None:
    return run.plain_id_accuracy if run.spec.augment_validation else run.id_accuracy


def _gap(run: Run) -> float | None:
    """Return OOD minus ID accuracy on plain images."""
    id_accuracy, ood_accuracy = _plain_id(run), run.ood_accuracy
    return None if id_accuracy is None or ood_accuracy is None else ood_accuracy - id_accuracy


def _of_arm(arms: ArmsOfRuns, arm: str) -> Mapping[str, ArmResult]:
    return {run_id: each for run_id, found in arms.items() for each in found if each.arm == arm}


def _arm_id(of_arm: Mapping[str, ArmResult], run: Run) -> float | None:
    return of_arm[run.run_id].id_accuracy if run.run_id in of_arm else None


def _steps(steps: Iterable[int | None]) -> str:
    """Return the step of runs, or the first and the last one: their mean is the step of none."""
    known = [step for step in steps if step is not None]
    if not known:
        return UNKNOWN
    ends = sorted({min(known), max(known)})
    return "–".join(f"{step:,}" for step in ends)


def _arm_step(of_arm: Mapping[str, ArmResult], run: Run) -> int | None:
    return of_arm[run.run_id].selected_step if run.run_id in of_arm else None


def _arm_plain_id(of_arm: Mapping[str, ArmResult], run: Run) -> float | None:
    if run.run_id not in of_arm:
        return None
    found = of_arm[run.run_id]
    return run.plain_mean(found.domains) if run.spec.augment_validation else found.id_accuracy


def _arm_ood(of_arm: Mapping[str, ArmResult], run: Run) -> float | None:
    return of_arm[run.run_id].ood_accuracy if run.run_id in of_arm else None


def _statuses(group: RunGroup) -> str:
    counts: dict[str, int] = {}
    for run in group.runs:
        status = "collapsed" if run.collapsed else run.status
        counts[status] = counts.get(status, 0) + 1
    if len(group.runs) == 1:
        return next(iter(counts))
    return ", ".join(f"{count} {status}" for status, count in counts.items())
