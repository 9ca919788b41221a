"""Accuracy and loss of every domain at the selected step."""

from __future__ import annotations

import textwrap
from typing import Final

from rich.text import Text

from engine.protocol import AUGMENTED, DomainInfo, RunTask
from vld_tui.runs.progress import Progress
from vld_tui.views.combined import has_choice, step_label
from vld_tui.views.intervals import interval_line, split_interval
from vld_tui.words.columns import Column, styled_table
from vld_tui.words.numbers import UNKNOWN, decimal, id_words, percent, percent_range
from vld_tui.words.palette import ID_STYLE, OOD_STYLE, QUIET_STYLE
from vld_tui.words.text import plain_text

NOT_EVALUATED: Final = "Nothing has been evaluated yet."
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
    """Return a line for each split that is evaluated: sources, then the target's two."""
    selected = progress.selected
    if selected is None:
        return Text(NOT_EVALUATED, QUIET_STYLE)
    values = {(m.domain, m.split, m.name): m.value for m in selected.metrics}
    targets = [name for name, is_target in progress.domains() if is_target]
    sizes = {each.name: each for each in progress.data.domains} if progress.data else {}
    id_split = "out" if selected.plain_id_accuracy is None else AUGMENTED
    rows = []
    for domain, split in sorted(
        dict.fromkeys((m.domain, m.split) for m in selected.metrics),
        key=lambda pair: (pair[0] in targets, pair[0]),
    ):
        rows.append(
            [
                plain_text(domain),
                split,
                percent(accuracy := values.get((domain, split, "accuracy"))),
                percent_range(split_interval(sizes.get(domain), split, accuracy)),
                decimal(values.get((domain, split, "loss"))),
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
    text.append_text(styled_table(_COLUMNS, rows, cells))
    for line in textwrap.wrap(interval_line(progress), cells):
        text.append(f"\n{line}", QUIET_STYLE)
    return text


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
