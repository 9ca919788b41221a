"""The top lines of a run's screen: its name and state, and any problem."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.text import Text

from vld_tui.runs.metrics import CheckpointInfo
from vld_tui.runs.progress import Progress
from vld_tui.runs.run import DAMAGED, QUEUED, Run
from vld_tui.views.accuracies import Certainty, RunCertainty, run_certainty
from vld_tui.views.combined import place_label, progress_label
from vld_tui.views.queue import job_text
from vld_tui.words.numbers import percent, percent_range
from vld_tui.words.palette import (
    ALARM_STYLE,
    ID_STYLE,
    OOD_STYLE,
    QUIET_STYLE,
    status_label,
    status_style,
)
from vld_tui.words.text import plain_text, shorten, width

SHORTEST_NAME: Final = 8
IN_TROUBLE: Final = ("failed", "crashed")


def run_heading(run: Run, cells: int, progress: Progress | None = None) -> Text:
    """Return name, id, status, steps and accuracies in one line of ``cells``.

    If it does not fit, the 95% intervals of accuracies, then tags, then the id, then the end of the
    name are left out. The intervals come from ``progress``.
    """
    if progress is not None:
        whole = Text(f" {plain_text(run.name)}  {run.run_id}", "bold")
        whole = Text.assemble(whole, _standing(run, _certainty(run, progress)), _tags(run))
        if whole.cell_len <= cells:
            return whole
    standing, tags = _standing(run), _tags(run)
    name, run_id = f" {plain_text(run.name)}", f"  {run.run_id}"
    room = cells - standing.cell_len
    if width(name + run_id) > room:
        run_id = ""
    title = Text(shorten(name, max(SHORTEST_NAME, room)) + run_id, "bold")
    if title.cell_len + tags.cell_len > room:
        tags = Text()
    text = Text.assemble(title, standing, tags)
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _certainty(run: Run, progress: Progress) -> RunCertainty:
    """Return the intervals of a run's accuracies, if its log has them too."""
    selected = progress.selected
    if selected is None or (selected.id_accuracy, selected.ood_accuracy) != (
        run.id_accuracy, run.ood_accuracy
    ):  # fmt: skip
        return RunCertainty()
    return run_certainty(progress, selected)


def _tags(run: Run) -> Text:
    return Text(f"  {plain_text(' '.join(run.tags))}" if run.tags else "", QUIET_STYLE)


def _standing(run: Run, certainty: RunCertainty | None = None) -> Text:
    """Return status, steps and accuracies."""
    label = status_label(run.status, collapsed=run.collapsed)
    text = Text(f"  {label}", status_style(run.status, collapsed=run.collapsed))
    if run.combination is None and run.has_spec:
        text.append(f"  {run.step:,}/{run.steps:,}", QUIET_STYLE)
    elif run.has_spec:
        reached = progress_label(run.step, run.task)
        text.append(f"  {plain_text(run.arm.replace('_', ' '))} · {reached}", QUIET_STYLE)
    if run.has_job and run.status == QUEUED:
        text.append(f"  job {plain_text(job_text(run))}", QUIET_STYLE)
    if run.id_accuracy is not None:
        found = certainty or RunCertainty()
        text.append(f"  ID {percent(run.id_accuracy)}{_within(found.id)}", ID_STYLE)
        text.append(f"  OOD {percent(run.ood_accuracy)}{_within(found.ood)}", OOD_STYLE)
    return text


def _within(certainty: Certainty) -> str:
    interval = certainty.interval
    return "" if interval is None else f" (95%: {percent_range(interval)})"


def suspended_label(pid: int) -> str:
    """Return that a run's process is suspended, and how to continue it."""
    return f"suspended; to continue: kill -CONT {pid}"


def stopping_label(reason: str) -> str:
    """Return that a run is about to stop, and why."""
    return f"stopping after the current step: {plain_text(reason)}"


def trouble_line(
    run: Run,
    checkpoints: Sequence[CheckpointInfo],
    suspended_pid: int | None = None,
    stop_asked: str | None = None,
    *,
    resume: str = "r",
) -> Text | None:
    """Return how to continue a run that failed, crashed, was stopped or is suspended, and the
    reason; or that it is about to stop. None if there is no problem.

    The reason is not cut: the line wraps. ``resume`` is the key or command that resumes the run.
    """
    if run.is_live and suspended_pid is not None:
        return Text(suspended_label(suspended_pid), ALARM_STYLE, overflow="fold")
    if run.is_live and stop_asked is not None:
        return Text(stopping_label(stop_asked), status_style("stopped"), overflow="fold")
    if run.status not in (*IN_TROUBLE, DAMAGED, "stopped"):
        return None
    if run.status == DAMAGED:
        reason = plain_text(run.error or "", keep_newlines=True)
        return Text(f"damaged  {reason}", ALARM_STYLE, overflow="fold")
    last = next((each.step for each in checkpoints if each.kind == "last"), None)
    way = f"{resume} starts it again"
    if last is not None:
        way = f"{resume} resumes from {place_label(last, run.task)}"
    style = ALARM_STYLE if run.status in IN_TROUBLE else status_style(run.status)
    text = Text(overflow="fold")
    text.append(f"{run.status} at {place_label(run.step, run.task)}", style)
    text.append(f"  {way}", QUIET_STYLE)
    if run.error and run.error.strip():
        text.append(f"  {plain_text(run.error.strip().splitlines()[0])}", style)
    return text
