"""Accuracy and loss of every domain at the selected step."""

from __future__ import annotations

import textwrap
from typing import Final

from rich.text import Text

from engine.protocol import (
    AUGMENTED,
    MEASURES,
    DomainInfo,
    Evaluated,
    RunTask,
    measures_in,
    value_in,
)
from vld_tui.runs.progress import Progress, best_of
from vld_tui.views.accuracies import Judged, interval_line, split_interval
from vld_tui.views.combined import has_choice, step_label
from vld_tui.words.columns import Column, styled_table
from vld_tui.words.numbers import UNKNOWN, decimal, id_words, percent, percent_range
from vld_tui.words.palette import ID_STYLE, OOD_STYLE, QUIET_STYLE
from vld_tui.words.text import plain_text

NOT_EVALUATED: Final = "Not evaluated yet."
_COLUMNS: Final = (
    Column("domain", rank=1000, shrinks=True, narrowest=8),
    Column("split", rank=997),
    Column("accuracy", right=True, rank=999),
    Column("95% interval", right=True, rank=995),
    Column("loss", right=True, rank=998),
    Column("images", right=True, rank=996, style=QUIET_STYLE),
    Column("", rank=1, shrinks=True, style=QUIET_STYLE),
)


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
                *(percent(values.get((domain, split, name))) for name in shown),
                _images(sizes.get(domain), split),
                _meaning(sizes.get(domain), split, id_split),
            ]
        )
    text = Text(no_wrap=True, overflow="crop")
    why = ", selected on ID validation" if has_choice(task) else ""
    text.append(f"{step_label(selected.step, task)}{why}  ", QUIET_STYLE)
    of_id = id_words(selected.id_accuracy, selected.plain_id_accuracy)
    text.append(f"{of_id}  ", ID_STYLE)
    text.append(f"OOD {percent(selected.ood_accuracy)}\n", OOD_STYLE)
    added = [
        Column(MEASURES[name].label, right=True, rank=990 - at) for at, name in enumerate(shown)
    ]
    text.append_text(styled_table([*_COLUMNS[:5], *added, *_COLUMNS[5:]], rows, cells))
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
        Column(f"{which} {MEASURES[name].label}", right=True, rank=998 - at, style=style)
        for at, name in enumerate(known)
        for which, style in (("ID", ID_STYLE), ("OOD", OOD_STYLE))
    ]
    rows = [
        [
            name,
            step_label(each.step, task),
            *(percent(value_in(each.measures, measure, at)) for measure in known for at in (0, 1)),
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
