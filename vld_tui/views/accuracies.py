"""Accuracies of a run with their intervals, overall and by domain."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from engine.protocol import (
    AUGMENTED,
    MEASURES,
    ArmEvaluated,
    CombinationSpec,
    DomainInfo,
    Evaluated,
    RunTask,
    measures_in,
    spec_of,
    value_in,
)
from engine.protocol.certainty import Certainty, Judged, RunCertainty, certainty_of
from engine.protocol.evaluated import BALANCED
from engine.protocol.intervals import Interval, Sample, accuracy_interval
from engine.protocol.selection import best_of, criterion_of
from vld_tui.runs.progress import Progress, domain_accuracy
from vld_tui.views.combined import has_choice, step_label
from vld_tui.words.columns import Column, styled_table
from vld_tui.words.numbers import (
    UNKNOWN,
    decimal,
    id_words,
    in_unit,
    percent,
    percent_range,
    plural,
    sparkline,
)
from vld_tui.words.palette import ID_STYLE, OOD_STYLE, QUIET_STYLE
from vld_tui.words.text import plain_text, shorten

COVERED: Final = "they cover the sampling of images, not seeds or training"
AUGMENTED_IMAGES: Final = "augmented images"
_NAME_CELLS = 20
_INTERVAL_CELLS = 12
_MIN_SPARK_CELLS, _MAX_SPARK_CELLS = 8, 40
_SHORT_BALANCED: Final = "bal."
"""Label of balanced accuracy after the name of an arm, where the whole word does not fit."""
NOT_EVALUATED: Final = "Not evaluated yet."
_DOMAIN_COLUMNS: Final = (
    Column("domain", rank=1000, shrinks=True, narrowest=8),
    Column("split", rank=997),
    Column("accuracy", right=True, rank=999),
    Column("95% interval", right=True, rank=995),
    Column("loss", right=True, rank=998),
    Column("images", right=True, rank=996, style=QUIET_STYLE),
    Column("", rank=1, shrinks=True, style=QUIET_STYLE),
)


def run_certainty(progress: Progress, evaluation: Judged | None) -> RunCertainty:
    """Return the intervals of an evaluation."""
    return certainty_of(progress.data, evaluation)


def split_interval(info: DomainInfo | None, split: str, accuracy: float | None) -> Interval | None:
    """Return the interval of an accuracy on a split of a domain."""
    if info is None or accuracy is None:
        return None
    return accuracy_interval([Sample(accuracy, info.images_of(split))])


def interval_line(progress: Progress) -> str:
    """Return the intervals at the selected step in one line; empty if unknown."""
    return _told(
        progress,
        lambda of: f"{percent_range(of.interval)} from {plural(of.images, of.noun)}",
    )


def interval_note(progress: Progress) -> str:
    """Return the number of images behind the intervals at the selected step; empty if unknown."""
    return _told(progress, lambda of: f"from {plural(of.images, of.noun)}")


def interval_record(progress: Progress, evaluation: Judged | None) -> dict[str, Interval | None]:
    """Return the intervals of an evaluation for scripts."""
    of_run = run_certainty(progress, evaluation)
    return {
        "id_interval": of_run.id.interval,
        "plain_id_interval": of_run.plain_id.interval,
        "ood_interval": of_run.ood.interval,
    }


def _told(progress: Progress, show: Callable[[Certainty], str]) -> str:
    of_run = run_certainty(progress, progress.selected)
    told = [
        f"{name} {show(each)}"
        for name, each in (("ID", of_run.id), ("OOD", of_run.ood))
        if each.interval is not None
    ]
    return f"95% intervals: {', '.join(told)}; {COVERED}" if told else ""


@dataclass(frozen=True)
class AccuracyRow:
    """One accuracy over the evaluations, and at the selected step; shares from 0 to 1.

    ``note`` is shown next to it; ``interval`` is that at the selected step, over images.
    """

    name: str
    style: str
    values: tuple[float | None, ...]
    at_selected: float | None
    note: str = ""
    interval: Interval | None = None

    @property
    def latest(self) -> float | None:
        """Return the value at the last evaluation."""
        return self.values[-1] if self.values else None


def accuracy_views(task: RunTask, progress: Progress, cells: int) -> list[RenderableType]:
    """Return the table of accuracies with their 95% intervals, and a note on the intervals."""
    table = accuracy_table(task, progress, cells, has_intervals=True)
    note = interval_note(progress)
    return [table, *([Padding(Text(note, QUIET_STYLE), (0, 2))] if note else []), Text("")]


def accuracy_table(
    task: RunTask,
    progress: Progress,
    cells: int,
    *,
    has_intervals: bool = False,
) -> Table:
    """Return loss, ID, OOD and domains: latest value, value at the selected step, sparkline.

    ``cells`` is the width to fill. A source domain shows its validation accuracy, the target
    the accuracy reported as OOD. ``has_intervals``: with the 95% interval of the value at the
    selected step.
    """
    rows = accuracy_rows(task, progress)
    has_intervals = has_intervals and any(row.interval for row in rows)
    taken = _NAME_CELLS + 24 + (_INTERVAL_CELLS + 2 if has_intervals else 0)
    spark_cells = min(_MAX_SPARK_CELLS, max(_MIN_SPARK_CELLS, cells - taken))
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=_NAME_CELLS)
    table.add_column(justify="right", width=7)
    table.add_column(justify="right", width=9)
    if has_intervals:
        table.add_column(justify="right", width=_INTERVAL_CELLS)
    table.add_column(no_wrap=True)
    selected = progress.selected
    at_step = step_label(selected.step, task) if selected else ""
    why = f"← best {criterion_of(spec_of(task)).label}" if selected else ""
    headings = ("", "latest", at_step, why) if has_choice(task) else ("", "", "combined", "")
    titles = [*headings[:3], *(["95% interval"] if has_intervals else []), headings[3]]
    table.add_row(*(Text(each, style=QUIET_STYLE) for each in titles))
    if not isinstance(task, CombinationSpec):
        losses = [reading.loss for reading in progress.losses]
        loss = decimal(losses[-1]) if losses else ""
        blanks = [""] * (len(titles) - 3)
        table.add_row(Text("  loss"), loss, *blanks, Text(sparkline(losses, spark_cells)))
    for row in rows:
        table.add_row(
            Text(shorten(f"  {row.name}", _NAME_CELLS), style=row.style),
            Text(percent(row.latest) if row.values and headings[1] else "", style=row.style),
            Text(percent(row.at_selected) if row.values else "", style=row.style),
            *([_range(row)] if has_intervals else []),
            Text.assemble(
                (sparkline(row.values, spark_cells), row.style),
                (f" {row.note}" if row.note else "", QUIET_STYLE),
            ),
        )
    return table


def _range(row: AccuracyRow) -> Text:
    return Text("" if row.interval is None else percent_range(row.interval), style=row.style)


def accuracy_rows(task: RunTask, progress: Progress) -> list[AccuracyRow]:
    """Return ID, OOD, every domain (sources first), then ID and OOD of other arms."""
    evaluations, selected = progress.evaluations, progress.selected
    certainty = run_certainty(progress, selected)
    rows = [
        AccuracyRow(
            "ID",
            ID_STYLE,
            tuple(each.id_accuracy for each in evaluations),
            selected.id_accuracy if selected else None,
            AUGMENTED_IMAGES if selected and selected.plain_id_accuracy is not None else "",
            interval=certainty.id.interval,
        ),
        *_plain_row("ID plain", evaluations, selected, certainty.plain_id.interval),
        *_balanced_row("ID", ID_STYLE, evaluations, selected),
        AccuracyRow(
            "OOD",
            OOD_STYLE,
            tuple(each.ood_accuracy for each in evaluations),
            selected.ood_accuracy if selected else None,
            interval=certainty.ood.interval,
        ),
        *_balanced_row("OOD", OOD_STYLE, evaluations, selected),
    ]
    infos = {info.name: info for info in progress.data.domains} if progress.data else {}
    for domain, is_target in progress.domains():
        accuracies = [domain_accuracy(each, domain, is_target=is_target) for each in evaluations]
        chosen = domain_accuracy(selected, domain, is_target=is_target) if selected else None
        interval = split_interval(infos.get(domain), "in" if is_target else "out", chosen)
        name = plain_text(domain)
        rows.append(AccuracyRow(name, "", tuple(accuracies), chosen, interval=interval))
    for arm, of_arm in progress.arms.items():
        rows += _arm_rows(task, progress, arm, of_arm)
    return rows


def _plain_row(
    name: str,
    evaluations: Sequence[Judged],
    best: Judged | None,
    interval: Interval | None,
    note: str = "",
) -> list[AccuracyRow]:
    """Return the row of ID accuracy on plain images, if ID is measured on augmented ones."""
    if best is None or best.plain_id_accuracy is None:
        return []
    values = tuple(each.plain_id_accuracy for each in evaluations)
    return [AccuracyRow(name, ID_STYLE, values, best.plain_id_accuracy, note, interval)]


def _balanced_row(
    which: str, style: str, evaluations: Sequence[Judged], best: Judged | None, note: str = ""
) -> list[AccuracyRow]:
    """Return the row of ID or OOD balanced accuracy, if it is known; ID is on plain images.

    ``which`` ends with ID or OOD; ``note`` is given for arms.
    """
    place = 0 if which.endswith("ID") else 1
    at_best = None if best is None else value_in(best.measures, BALANCED, place)
    if at_best is None:
        return []
    values = tuple(value_in(each.measures, BALANCED, place) for each in evaluations)
    label = _SHORT_BALANCED if note else MEASURES[BALANCED].label
    return [AccuracyRow(f"{which} {label}", style, values, at_best, note)]


def _arm_rows(
    task: RunTask,
    progress: Progress,
    arm: str,
    evaluations: tuple[ArmEvaluated, ...],
) -> list[AccuracyRow]:
    """Return ID and OOD accuracy of an arm, at its selected step."""
    best = best_of(evaluations)
    if best is None:
        return []
    name, note = plain_text(arm), step_label(best.step, task)
    ids = tuple(each.id_accuracy for each in evaluations)
    oods = tuple(each.ood_accuracy for each in evaluations)
    found = run_certainty(progress, best)
    return [
        AccuracyRow(f"{name} ID", ID_STYLE, ids, best.id_accuracy, note, found.id.interval),
        *_plain_row(f"{name} ID plain", evaluations, best, found.plain_id.interval, note),
        *_balanced_row(f"{name} ID", ID_STYLE, evaluations, best, note),
        AccuracyRow(f"{name} OOD", OOD_STYLE, oods, best.ood_accuracy, note, found.ood.interval),
        *_balanced_row(f"{name} OOD", OOD_STYLE, evaluations, best, note),
    ]


def domain_results(task: RunTask, progress: Progress, cells: int) -> Text:
    """Return a line for each split that is evaluated: sources, then the target's two; then the
    measures of the run's own network and of each arm."""
    selected = progress.selected
    if selected is None:
        return Text(NOT_EVALUATED, QUIET_STYLE)
    values = {(m.domain, m.split, m.name): m.value for m in selected.metrics}
    targets = [name for name, is_target in progress.domains() if is_target]
    sizes = {each.name: each for each in progress.data.domains} if progress.data else {}
    id_split = "out" if selected.plain_id_accuracy is None else AUGMENTED
    measured = {m.name for m in selected.metrics if m.value is not None}
    shown = [name for name in MEASURES if name in measured]
    rows = []
    for domain, split in sorted(
        dict.fromkeys((m.domain, m.split) for m in selected.metrics),
        key=lambda pair: (pair[0] in targets, *pair),
    ):
        rows.append(
            [
                plain_text(domain),
                split,
                percent(accuracy := values.get((domain, split, "accuracy"))),
                percent_range(split_interval(sizes.get(domain), split, accuracy)),
                decimal(values.get((domain, split, "loss"))),
                *(
                    in_unit(values.get((domain, split, name)), MEASURES[name].unit)
                    for name in shown
                ),
                _images(sizes.get(domain), split),
                _meaning(sizes.get(domain), split, id_split),
            ]
        )
    text = Text(no_wrap=True, overflow="crop")
    why = f", selected on {criterion_of(spec_of(task)).words}" if has_choice(task) else ""
    text.append(f"{step_label(selected.step, task)}{why}  ", QUIET_STYLE)
    of_id = id_words(selected.id_accuracy, selected.plain_id_accuracy)
    text.append(f"{of_id}  ", ID_STYLE)
    text.append(f"OOD {percent(selected.ood_accuracy)}\n", OOD_STYLE)
    added = [
        Column(MEASURES[name].label, right=True, rank=990 - at) for at, name in enumerate(shown)
    ]
    text.append_text(
        styled_table([*_DOMAIN_COLUMNS[:5], *added, *_DOMAIN_COLUMNS[5:]], rows, cells)
    )
    for line in textwrap.wrap(interval_line(progress), cells):
        text.append(f"\n{line}", QUIET_STYLE)
    if (table := _measure_table(task, progress, selected, cells)) is not None:
        text.append("\n\n").append_text(table)
    return text


def _measure_table(
    task: RunTask, progress: Progress, selected: Evaluated, cells: int
) -> Text | None:
    """Return the ID and OOD values of each measure, by arm at its selected step; None: there are
    none."""
    arms = {arm: best_of(evaluations) for arm, evaluations in progress.arms.items()}
    found: dict[str, Judged] = {"own network": selected}
    found |= {plain_text(arm): best for arm, best in arms.items() if best is not None}
    known = measures_in(each.measures for each in found.values())
    if not known:
        return None
    columns = [Column("measures", rank=1000, shrinks=True, narrowest=8), Column("at", rank=900)]
    columns += [
        Column(
            f"{which.upper()} {MEASURES[name].label}",
            right=True,
            rank=998 - number,
            style=(ID_STYLE, OOD_STYLE)[at],
        )
        for number, name in enumerate(known)
        for at, which in MEASURES[name].places
    ]
    rows = [
        [
            name,
            step_label(each.step, task),
            *(
                in_unit(value_in(each.measures, measure, at), MEASURES[measure].unit)
                for measure in known
                for at, _ in MEASURES[measure].places
            ),
        ]
        for name, each in found.items()
    ]
    return styled_table(columns, rows, cells)


def _images(info: DomainInfo | None, split: str) -> str:
    if info is None:
        return UNKNOWN
    return f"{info.images_of(split):,}"


def _meaning(info: DomainInfo | None, split: str, id_split: str) -> str:
    if info is not None and info.is_held_out:
        return "held-out source"
    if info is None or not info.is_target:
        return "source: ID" if split == id_split else "source"
    return "target: OOD" if split == "in" else "target"
