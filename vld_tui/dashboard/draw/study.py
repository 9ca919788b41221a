"""A study as text and as points: its progress, and its results by target."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from rich.text import Text

from engine.protocol import NO_TARGET
from vld_tui.runs.run import RunPoint
from vld_tui.store.fields import shown_name
from vld_tui.study.results.cells import StudyCell, StudyGrid
from vld_tui.study.results.outcomes import (
    ID,
    OOD,
    AccuracyPair,
    accuracy_pairs,
    known_measures,
    measured,
)
from vld_tui.study.results.state import Counts, StudyProgress, TimeLeft
from vld_tui.views.study import (
    MISSING,
    NO_SETTING,
    accuracies_text,
    prediction_words,
    remaining_text,
    shown_setting,
)
from vld_tui.words.columns import GAP, Column, align, lay_out, styled_table
from vld_tui.words.numbers import UNKNOWN, duration, plural, size
from vld_tui.words.palette import (
    HEADING_STYLE,
    OOD_STYLE,
    QUIET_STYLE,
    STATUS_SIGNS,
    STATUS_STYLES,
)
from vld_tui.words.text import plain_text

if TYPE_CHECKING:
    from vld_tui.study.planner import StudyOutline

Target = tuple[str, str | None]
"""A data set and the domain left out of training."""
Row = tuple[object, ...]
"""Values of the fields that a study compares."""

LOWEST: Final = "▾"
"""Marks the lowest accuracy of a row."""
BAR_CELLS: Final = 20
PARTS: Final = (
    ("━", "finished", STATUS_STYLES["finished"]),
    ("╍", "running", STATUS_STYLES["running"]),
    ("┄", "queued", STATUS_STYLES["queued"]),
    ("✗", "failed", STATUS_STYLES["failed"]),
    ("■", "stopped", STATUS_STYLES["stopped"]),
    ("·", "missing", QUIET_STYLE),
)
"""The signs of a bar, one for each part of ``Counts``, in order."""
_COLUMNS: Final = (
    Column("study", rank=100, shrinks=True, narrowest=16),
    Column("", rank=97),
    Column("runs", rank=99),
    Column("time", rank=98),
    Column("disk", rank=60),
    Column("title", rank=50, shrinks=True, narrowest=12),
)
_LIST_BAR_CELLS: Final = 10
_SEPARATOR: Final = " · "


def progress_bar(counts: Counts, cells: int = BAR_CELLS) -> Text:
    """Return a bar with a sign for each state of runs; existing states get at least one cell."""
    bar = Text(no_wrap=True)
    for (sign, _, style), part in zip(PARTS, _parts(counts, cells), strict=True):
        bar.append(sign * part, style)
    return bar


def progress_line(counts: Counts, left: TimeLeft, cells: int) -> Text:
    """Return the bar, the number of runs in each existing state, and the time left, on as many
    lines of a width as they need."""
    text = Text(" ", no_wrap=True, overflow="ellipsis").append_text(progress_bar(counts))
    text.append(f"  {counts.finished:,}/{counts.runs:,} finished")
    used, indent = text.cell_len, " " * (BAR_CELLS + 3)
    for part in _progress_parts(counts, left):
        fits = used + len(_SEPARATOR) + part.cell_len <= cells
        lead = _SEPARATOR if fits else f"\n{indent}"
        used = (used if fits else 0) + len(lead.lstrip("\n")) + part.cell_len
        text.append(lead).append_text(part)
    return text


def _progress_parts(counts: Counts, left: TimeLeft) -> Iterator[Text]:
    if said := left_text(counts, left):
        yield Text(said)
    named = [*zip(PARTS, counts, strict=True)]
    for (_, word, style), count in (named[3], *named[1:3], *named[4:]):  # failures first
        if count:
            is_resumable = word == "stopped" and not counts.is_under_way
            yield Text.assemble(
                (f"{count:,} {word}", style),
                ("; launch resumes them" if is_resumable else "", QUIET_STYLE),
            )


def left_text(counts: Counts, left: TimeLeft) -> str:
    """Return the time left; empty if nothing is running or queued."""
    if not counts.is_under_way:
        return ""
    if left.unknown and not left.seconds:
        return "time left unknown"
    return remaining_text(left.seconds, left.unknown, " left")


class PresetRow(NamedTuple):
    """A preset in the list; ``outline`` None: not estimated yet."""

    name: str
    title: str
    outline: StudyOutline | None = None


FILTERED_COLUMNS: Final = ("study", "state", "runs", "time", "disk", "title")
"""The columns by which the list of studies is filtered."""


class StudyList(NamedTuple):
    """Aligned lines: the headings, the launched studies, and the presets.

    ``rows`` are the texts of :data:`FILTERED_COLUMNS` of each launched study, then of each preset.
    """

    heading: str
    launched: list[Text]
    presets: list[Text]
    rows: list[list[str]]


def study_list(
    studies: Sequence[StudyProgress], presets: Sequence[PresetRow], cells: int
) -> StudyList:
    """Return the list of studies and presets with columns of the same width."""
    rows, others = [_row(each) for each in studies], [_preset_row(each) for each in presets]
    layout = lay_out(_COLUMNS, [*rows, *others], cells)

    def line(row: Sequence[str], counts: Counts | None) -> Text:
        text = Text(no_wrap=True, overflow="ellipsis")
        shown = zip(layout.shown, align(_COLUMNS, layout, row), strict=True)
        for place, (index, cell) in enumerate(shown):
            text.append(GAP if place else "")
            if index == 1 and counts is not None:
                text.append_text(progress_bar(counts, _LIST_BAR_CELLS))
            else:
                text.append(cell, QUIET_STYLE if index > 2 else "")
        return text

    bars = [study.counts if study.problem is None else None for study in studies]
    return StudyList(
        GAP.join(align(_COLUMNS, layout, [column.heading for column in _COLUMNS])),
        [line(row, counts) for row, counts in zip(rows, bars, strict=True)],
        [line(row, None) for row in others],
        [
            [name, state, *texts]
            for (name, _, *texts), state in zip(
                [*rows, *others], [*map(_states, studies), *["preset"] * len(others)], strict=True
            )
        ],
    )


def _states(study: StudyProgress) -> str:
    """Return the states that runs of a study are in."""
    return " ".join(word for (_, word, _), count in zip(PARTS, study.counts, strict=True) if count)


def _preset_row(preset: PresetRow) -> list[str]:
    runs = time = disk = ""
    if (outline := preset.outline) is not None:
        runs = f"{outline.runs:,}"
        time = UNKNOWN if outline.seconds is None else duration(outline.seconds)
        disk = UNKNOWN if outline.disk_bytes is None else size(outline.disk_bytes)
    return [plain_text(preset.name), "", runs, time, disk, plain_text(preset.title)]


def _row(study: StudyProgress) -> list[str]:
    if study.problem is not None:
        problem = plain_text(study.problem.splitlines()[0])
        return [plain_text(study.name), " " * _LIST_BAR_CELLS, "?", "", "", problem]
    counts = study.counts
    runs = f"{counts.finished:,}/{counts.runs:,}"
    beside = [
        f"{count:,}{sign}"
        for count, sign in (
            (counts.live, STATUS_SIGNS["running"]),
            (counts.failed, STATUS_SIGNS["failed"]),
            (counts.stopped, STATUS_SIGNS["stopped"]),
            (counts.missing, MISSING),
        )
        if count
    ]
    return [
        plain_text(study.name),
        " " * _LIST_BAR_CELLS,
        " ".join([runs, *beside]),
        _time_cell(counts, study.left),
        "",
        plain_text(study.title),
    ]


def _time_cell(counts: Counts, left: TimeLeft) -> str:
    if counts.finished == counts.runs:
        return "done"
    if not counts.is_under_way:
        return ""
    return "unknown" if left.unknown and not left.seconds else f"{duration(left.seconds)} left"


def _parts(counts: Counts, cells: int) -> list[int]:
    """Divide the cells: each existing state gets at least one, taken from the largest."""
    if not counts.runs:
        return [0] * len(counts)
    parts = [max(bool(count), cells * count // counts.runs) for count in counts]
    largest = max(range(len(parts)), key=lambda index: counts[index])
    parts[largest] += cells - sum(parts)
    return parts


def setting_text(compare: Sequence[str], values: Row) -> str:
    """Return the compared values as short text."""
    return (
        " · ".join(
            f"λ {shown_setting(name, value)}"
            if name == "dropout_rate"
            else shown_setting(name, value)
            for name, value in zip(compare, values, strict=True)
        )
        or NO_SETTING
    )


def target_points(grid: StudyGrid, compare: Sequence[str]) -> Iterator[tuple[RunPoint, StudyCell]]:
    """Yield a point for each target and setting, with its runs."""
    for (values, (dataset, target)), cell in grid.cells.items():
        setting = setting_text(compare, values)
        point = _point(cell, setting, f"{setting} → {target}", dataset, target)
        if point is not None:
            yield point, cell


def mean_points(grid: StudyGrid, compare: Sequence[str]) -> Iterator[tuple[RunPoint, StudyCell]]:
    """Yield a point for each data set and setting, the mean over its targets, with its runs.

    Settings with missing runs are left out: means over fewer targets are not comparable.
    """
    for dataset, all_targets in _by_dataset(grid).items():
        targets = _left_out(all_targets)
        for values in grid.rows:
            cells = [cell for each in targets if (cell := grid.cells.get((values, each)))]
            if not cells or len(cells) < len(targets):
                continue
            joined, setting = StudyCell.joined(cells), setting_text(compare, values)
            name = f"{setting}, mean of {plural(len(cells), 'target')}"
            if (point := _point(joined, setting, name, dataset, None)) is not None:
                yield point, joined


def runs_without_ood(grid: StudyGrid) -> int:
    """Return the number of runs with results but without a point in the ID–OOD plane."""
    return sum(
        len(cell.results) for (_, (_, target)), cell in grid.cells.items() if target == NO_TARGET
    )


def study_table(grid: StudyGrid, compare: Sequence[str], arm: str, cells: int) -> Text:
    """Return tables of accuracy and of balanced accuracy for each data set: ID and OOD value of
    each setting, by target."""
    text = Text(no_wrap=True, overflow="crop")
    over = f", mean over {', '.join(map(shown_name, grid.over))}" if grid.over else ""
    pairs = accuracy_pairs(each for cell in grid.cells.values() for each in cell.results)
    for (dataset, targets), pair in itertools.product(_by_dataset(grid).items(), pairs):
        text.append(plain_text(dataset), HEADING_STYLE)
        what = f": ID/OOD {pair.label} of {prediction_words(arm)} by target"
        spread = f"% ± sd of OOD over seeds{over}; {LOWEST} worst target"
        text.append(f"{what}, {spread}\n", QUIET_STYLE)
        heads = [*map(shown_name, compare)] or [""]
        columns = [Column(name, shrinks=True, narrowest=12) for name in heads]
        columns += [
            Column(plain_text(target or UNKNOWN), right=True, rank=90, style=OOD_STYLE)
            for _, target in targets
        ]
        columns.append(Column("mean", right=True, rank=60, style=HEADING_STYLE))
        columns.append(Column("worst target", rank=50))
        rows = [
            _table_row(values, [grid.cells.get((values, each)) for each in targets], compare, pair)
            for values in grid.rows
            if any((values, each) in grid.cells for each in targets)
        ]
        text.append_text(styled_table(columns, rows, cells)).append("\n\n")
    text.rstrip()
    return text


def _table_row(
    values: Row, cells: Sequence[StudyCell | None], compare: Sequence[str], pair: AccuracyPair
) -> list[str]:
    known = [cell for cell in cells if cell is not None]
    means = {
        str(cell.specs[0].target): found.mean
        for cell in known
        if (found := cell.estimate(pair.ood))
    }
    averaged = [cell for cell in known if cell.specs[0].target != NO_TARGET]
    is_whole = len(known) == len(cells) and all(cell.is_complete for cell in known)
    worst = min(means, key=lambda target: means[target], default=None) if is_whole else None
    settings = [shown_setting(name, value) for name, value in zip(compare, values, strict=True)]
    return [
        *(settings or [NO_SETTING]),
        *(accuracies_text(cell, pair) + LOWEST * _is_of(cell, worst) for cell in cells),
        accuracies_text(StudyCell.joined(averaged), pair) if averaged and is_whole else MISSING,
        MISSING if worst is None else f"{100 * means[worst]:.1f} {plain_text(worst)}",
    ]


def _is_of(cell: StudyCell | None, target: str | None) -> bool:
    return cell is not None and str(cell.specs[0].target) == target


def _by_dataset(grid: StudyGrid) -> dict[str, list[Target]]:
    found: dict[str, list[Target]] = {}
    for dataset, target in grid.columns:
        found.setdefault(dataset, []).append((dataset, target))
    return found


def _left_out(targets: Sequence[Target]) -> list[Target]:
    """Return the targets, without that of runs that leave out no domain."""
    return [target for target in targets if target[1] != NO_TARGET]


def _point(
    cell: StudyCell, setting: str, name: str, dataset: str, target: str | None
) -> RunPoint | None:
    """Return the mean point of runs; None before one is finished, or without a target."""
    ids, oods = cell.estimate(ID), cell.estimate(OOD)
    if ids is None or oods is None:
        return None
    return RunPoint(
        run_id=f"{dataset}/{target or ''}: {setting}",
        name=name,
        id_accuracy=ids.mean,
        ood_accuracy=oods.mean,
        dropout_rate=None,
        target=target,
        dataset=dataset,
        setting=setting,
        is_augmented=cell.specs[0].augment_validation,
        measures=tuple(_measures(cell)),
    )


def _measures(cell: StudyCell) -> Iterator[tuple[str, tuple[float | None, float | None]]]:
    """Yield the mean of each measure that every run has."""
    for name in known_measures(cell.results):
        of_id, of_ood = measured(name)
        ids, oods = cell.estimate(of_id), cell.estimate(of_ood)
        if ids is not None:
            yield name, (ids.mean, oods and oods.mean)
