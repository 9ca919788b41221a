"""Runs side by side: differing settings, and results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

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
from vld_tui.words.columns import Column, table_lines
from vld_tui.words.numbers import UNKNOWN, decimal, duration
from vld_tui.words.text import plain_text

Show = Callable[[float], str]
INTERVALS: Final = (
    f"±: 95% interval over {FEWEST} or more seeds (Student's t); sd: 2 seeds, too few"
)

ArmsOfRuns = Mapping[str, Sequence[ArmResult]]
"""Results of additional arms, by run."""


def compare_lines(
    groups: Sequence[RunGroup],
    arms: ArmsOfRuns | None = None,
    imported: Sequence[ImportedRun] = (),
    *,
    cells: int | None,
) -> Iterator[str]:
    """Yield a table with a column for each group: the fields that differ, then the results.

    Accuracies are those at each arm's selected step. Imported runs have columns of their own.
    """
    labels = [*group_labels(groups), *(f"{each.name} (imported)" for each in imported)]
    columns = [
        Column("", rank=1000),
        *(
            Column(plain_text(label), right=True, rank=999 - index, shrinks=True, narrowest=14)
            for index, label in enumerate(labels)
        ),
    ]
    rows = [*_combinations(groups), *_differences(groups, imported), *_results(groups, arms or {})]
    rows = [[*row, *(_imported_cell(row[0], each) for each in imported)] for row in rows]
    yield from table_lines(columns, rows, cells)
    if any(len(group.runs) > 1 for group in groups):
        yield INTERVALS


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
    return UNKNOWN if None in known else _share((known[1] or 0.0) - (known[0] or 0.0))


def _share(value: float | None) -> str:
    return UNKNOWN if value is None else _points(value)


_FIELD_NAMES: Final = {info.label: name for name, info in FIELDS.items()}
_IMPORTED: Final[Mapping[str, Callable[[ImportedRun], str]]] = {
    "status": lambda run: run.status or UNKNOWN,
    "ID": lambda run: _share(run.id_accuracy),
    "OOD": lambda run: _share(run.ood_accuracy),
    "OOD − ID": _imported_gap,
    "selected step": lambda run: UNKNOWN if run.selected_step is None else f"{run.selected_step:,}",
}
"""The rows that an imported run has values of."""


def _results(groups: Sequence[RunGroup], arms: ArmsOfRuns) -> Iterator[list[str]]:
    runs = [run for group in groups for run in group.runs]
    yield ["status", *(_statuses(group) for group in groups)]
    yield _row("ID", groups, lambda run: run.id_accuracy, _points)
    is_augmented = any(run.spec.augment_validation for run in runs)
    if is_augmented:
        yield _row("ID, plain images", groups, _plain_id, _points)
    yield _row("OOD", groups, lambda run: run.ood_accuracy, _points)
    # The target is never augmented, so the difference is between plain images.
    yield _row(f"OOD − ID{', plain images' if is_augmented else ''}", groups, _gap, _points)
    yield from _measures("", groups, {run.run_id: run.measures for run in runs})
    for arm in sorted({each.arm for found in arms.values() for each in found}):
        of_arm = _of_arm(arms, arm)
        yield _row(f"{plain_text(arm)} ID", groups, partial(_arm_id, of_arm), _points)
        if is_augmented:
            label = f"{plain_text(arm)} ID, plain images"
            yield _row(label, groups, partial(_arm_plain_id, of_arm), _points)
        yield _row(f"{plain_text(arm)} OOD", groups, partial(_arm_ood, of_arm), _points)
        found = {run_id: each.measures for run_id, each in of_arm.items()}
        yield from _measures(f"{plain_text(arm)} ", groups, found)
    for domain in sorted({name for run in runs for name in run.domains}):
        targets = {run.target for run in runs}
        label = f"  {plain_text(domain)}{' (target)' if targets == {domain} else ''}"
        yield _row(label, groups, partial(_accuracy, domain), _points)
    yield _row("loss", groups, lambda run: run.loss, decimal)
    yield _means("selected step", groups, lambda run: run.selected_step, lambda at: f"{at:,.0f}")
    yield _means("time", groups, lambda run: run.wall_s, duration)


def _measures(
    prefix: str, groups: Sequence[RunGroup], found: Mapping[str, Summary]
) -> Iterator[list[str]]:
    """Yield the ID and OOD value of each measure of which there is one."""

    def measured(run: Run, name: str, index: int) -> float | None:
        return value_in(found.get(run.run_id, {}), name, index)

    for name in measures_in(found.values()):
        for index, which in enumerate(("ID", "OOD")):
            label = f"{prefix}{which} {MEASURES[name].label}"
            yield _row(label, groups, partial(measured, name=name, index=index), _points)


def _row(
    label: str, groups: Sequence[RunGroup], measured: Callable[[Run], float | None], show: Show
) -> list[str]:
    return [label, *(_cell(group.estimate(measured), show) for group in groups)]


def _means(
    label: str, groups: Sequence[RunGroup], measured: Callable[[Run], float | None], show: Show
) -> list[str]:
    """Return a row of means without intervals."""
    found = (group.estimate(measured) for group in groups)
    return [label, *(UNKNOWN if each is None else show(each.mean) for each in found)]


def _cell(found: Estimate | None, show: Show) -> str:
    if found is None:
        return UNKNOWN
    if found.half_interval is not None:
        return f"{show(found.mean)} ± {show(found.half_interval)}"
    spread = "" if found.deviation is None else f" (sd {show(found.deviation)}, n={found.n})"
    return f"{show(found.mean)}{spread}"


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


def _arm_plain_id(of_arm: Mapping[str, ArmResult], run: Run) -> float | None:
    if run.run_id not in of_arm:
        return None
    found = of_arm[run.run_id]
    return run.plain_mean(found.domains) if run.spec.augment_validation else found.id_accuracy


def _arm_ood(of_arm: Mapping[str, ArmResult], run: Run) -> float | None:
    return of_arm[run.run_id].ood_accuracy if run.run_id in of_arm else None


def _points(share: float) -> str:
    return f"{100 * share:z.1f}"


def _statuses(group: RunGroup) -> str:
    counts: dict[str, int] = {}
    for run in group.runs:
        status = "collapsed" if run.collapsed else run.status
        counts[status] = counts.get(status, 0) + 1
    if len(group.runs) == 1:
        return next(iter(counts))
    return ", ".join(f"{count} {status}" for status, count in counts.items())
