"""The lines on top of a run's screen: what it is and how it stands, and what went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.text import Text

from vld_tui.store.metrics import CheckpointInfo
from vld_tui.store.runs import Run
from vld_tui.views.numbers import percent
from vld_tui.views.palette import (
    ALARM_STYLE,
    ID_STYLE,
    OOD_STYLE,
    QUIET_STYLE,
    status_label,
    status_style,
)
from vld_tui.views.text import plain_text

IN_TROUBLE: Final = ("failed", "crashed")


def run_heading(run: Run) -> Text:
    """Return name, id, status, steps and accuracies in one line."""
    text = Text(f" {plain_text(run.name)}  {run.run_id}", no_wrap=True, overflow="ellipsis")
    text.stylize("bold")
    label = status_label(run.status, collapsed=run.collapsed)
    text.append(f"  {label}", status_style(run.status, collapsed=run.collapsed))
    text.append(f"  {run.step:,}/{run.steps:,}", QUIET_STYLE)
    if run.id_accuracy is not None:
        text.append(f"  ID {percent(run.id_accuracy)}", ID_STYLE)
        text.append(f"  OOD {percent(run.ood_accuracy)}", OOD_STYLE)
    if run.tags:
        text.append(f"  {plain_text(' '.join(run.tags))}", QUIET_STYLE)
    return text


def trouble_line(run: Run, checkpoints: Sequence[CheckpointInfo]) -> Text | None:
    """Say why a run failed, was stopped or crashed, and how it goes on; None when it did not."""
    if run.status not in (*IN_TROUBLE, "stopped"):
        return None
    last = next((each.step for each in checkpoints if each.kind == "last"), None)
    way = "r starts it again" if last is None else f"r goes on from step {last:,}"
    style = ALARM_STYLE if run.status in IN_TROUBLE else status_style(run.status)
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f" {run.status} at step {run.step:,}", style)
    text.append(f"  {way}", QUIET_STYLE)
    if run.error and run.error.strip():
        text.append(f"  {plain_text(run.error.strip().splitlines()[0])}", style)
    return text
