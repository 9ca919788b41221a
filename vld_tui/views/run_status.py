"""The status of a run: its heading, any problem, and its history."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from rich.text import Text

from engine.protocol import RunTask
from engine.protocol.certainty import Certainty, RunCertainty
from engine.protocol.selection import criterion_of, unless_accuracy
from vld_tui.runs.metrics import Attempt, CheckpointInfo
from vld_tui.runs.progress import Progress
from vld_tui.runs.run import BROKEN_OFF, NOT_READABLE, QUEUED, Run
from vld_tui.views.accuracies import run_certainty
from vld_tui.views.combined import has_choice, position_label, progress_label, step_label
from vld_tui.views.event_lines import accuracy_words, collapse_line, recovery_line
from vld_tui.views.queue import job_text
from vld_tui.words.numbers import duration, moment, percent, percent_range, plural
from vld_tui.words.palette import (
    ALARM_STYLE,
    ID_STYLE,
    OOD_STYLE,
    QUIET_STYLE,
    STATUS_SIGNS,
    status_label,
    status_style,
)
from vld_tui.words.text import plain_text, shorten, width

SHORTEST_NAME: Final = 8
IN_TROUBLE: Final = ("failed", "crashed")
UNDATED: Final = " " * 19
SINCE_CELLS: Final = 8
_WARNED: Final = "SIGUSR2"
"""Signals that clusters send before a job ends."""


def run_heading(run: Run, cells: int, progress: Progress | None = None) -> Text:
    """Return name, id, status, steps and accuracies in one line of ``cells``.

    If it does not fit, the 95% intervals of accuracies, then tags, then the id, then what selected
    the step, then the end of the name are left out. The intervals come from ``progress``.
    """
    if progress is not None:
        whole = Text(f" {plain_text(run.label)}  {run.run_id}", "bold")
        standing = _standing(run, _certainty(run, progress), selected=_selected_words(run)[0])
        whole = Text.assemble(whole, standing, _tags(run))
        if whole.cell_len <= cells:
            return whole
    tags = _tags(run)
    name, run_id = f" {plain_text(run.label)}", f"  {run.run_id}"
    for selected in _selected_words(run):
        standing = _standing(run, selected=selected)
        room = cells - standing.cell_len
        if width(name) <= room:
            break
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


def _standing(run: Run, certainty: RunCertainty | None = None, *, selected: str) -> Text:
    """Return status, steps, and accuracies with the step at which they are."""
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
        text.append(" · ")
        text.append(f"OOD {percent(run.ood_accuracy)}{_within(found.ood)}", OOD_STYLE)
        text.append(selected, QUIET_STYLE)
    return text


def _selected_words(run: Run) -> tuple[str, ...]:
    """Return the step at which a run's accuracies are, and what selected it: in full, then
    shorter, then not at all."""
    if run.selected_step is None or not has_choice(run.task):
        return ("",)
    at = f" at {step_label(run.selected_step, run.task)}"
    best = criterion_of(run.spec).label.removesuffix(" accuracy")
    return f"{at} (best {best})", at, ""


def _within(certainty: Certainty) -> str:
    interval = certainty.interval
    return "" if interval is None else f" (95%: {percent_range(interval)})"


def suspended_label(pid: int) -> str:
    """Return that a run's process is suspended, and how to continue it."""
    return f"suspended; to continue: kill -CONT {pid}"


def stopping_label(reason: str) -> str:
    """Return that a run is about to stop, and why."""
    return f"stopping after the current step: {plain_text(reason)}"


def rest_line(run: Run, *, resume: str = "r") -> str:
    """Return the status of a run without a process, and what continues it."""
    if run.status == QUEUED:
        return "held in the queue" if run.is_held else "queued"
    if run.status not in BROKEN_OFF:
        return run.status
    way = f"{resume} resumes it" if run.step else f"{resume} starts it again"
    return f"{run.status} at {position_label(run.step, run.task)}; {way}"


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
    if run.status not in (*IN_TROUBLE, *NOT_READABLE, "stopped"):
        return None
    if run.status in NOT_READABLE:
        reason = plain_text(run.error or "", keep_newlines=True)
        return Text(f"{run.status}  {reason}", ALARM_STYLE, overflow="fold")
    last = next((each.step for each in checkpoints if each.kind == "last"), None)
    way = f"{resume} starts it again"
    if last is not None:
        way = f"{resume} resumes from {position_label(last, run.task)}"
    style = ALARM_STYLE if run.status in IN_TROUBLE else status_style(run.status)
    text = Text(overflow="fold")
    text.append(f"{run.status} at {position_label(run.step, run.task)}", style)
    text.append(f"  {way}", QUIET_STYLE)
    if run.error and run.error.strip():
        text.append(f"  {plain_text(run.error.strip().splitlines()[0])}", style)
    return text


class Moment(NamedTuple):
    """An event at a time (Unix s; None: unknown), its sign and style."""

    at: float | None
    sign: str
    style: str
    what: str


def timeline(run: Run, attempts: Sequence[Attempt], progress: Progress) -> Text:
    """Return a line for each moment, oldest first, with the time since the previous one."""
    text = Text(overflow="fold")
    before: float | None = None
    moments = sorted(_moments(run, attempts, progress), key=lambda each: each.at or math.inf)
    for each in moments:
        if text:
            text.append("\n")
        date, since = UNDATED, ""
        if each.at is not None:
            date = moment(each.at)
            if before is not None and each.at - before >= 1:
                since = f"+{duration(each.at - before)}"
            before = each.at
        text.append(f"{date}  {since:>{SINCE_CELLS}}  ", QUIET_STYLE)
        text.append(f"{each.sign} {each.what}", each.style)
    return text


def _moments(run: Run, attempts: Sequence[Attempt], progress: Progress) -> Iterator[Moment]:
    yield Moment(run.created_at, "+", "", "created")
    for attempt in attempts:
        yield from _attempt_moments(attempt, run.task)
    yield from _preparation_moments(progress)
    if (collapse := progress.collapse) is not None:
        recovered = progress.recovered_step
        line = collapse_line(collapse) if recovered is None else recovery_line(collapse, recovered)
        style = ALARM_STYLE if recovered is None else ""
        yield Moment(collapse.time or None, "", style, line)
    if (selected := progress.selected) is not None:
        what = "evaluated"
        if has_choice(run.task):
            on = unless_accuracy(run.spec)
            what = f"selected {step_label(selected.step, run.task)}{on} was evaluated"
        told = " · ".join([what, *accuracy_words(selected)])
        yield Moment(selected.time or None, "★", "", told)
    if run.status == QUEUED:
        waits = "held in the queue" if run.is_held else "queued"
        if run.has_job:
            waits = f"job {plain_text(job_text(run))}"
        yield Moment(None, STATUS_SIGNS[QUEUED], status_style(QUEUED), waits)
    elif not attempts:
        yield Moment(None, STATUS_SIGNS.get(run.status, "?"), status_style(run.status), run.status)
    if run.error and not (attempts and attempts[-1].reason):
        yield Moment(None, "✗", status_style("failed"), plain_text(run.error.splitlines()[0]))


def _preparation_moments(progress: Progress) -> Iterator[Moment]:
    """Yield what was ready when, of events with a time."""
    if (data := progress.data) is not None and data.time:
        images = sum(domain.images for domain in data.domains)
        yield Moment(data.time, "·", "", f"{plural(images, 'image')} ready")
    if (model := progress.model) is not None and model.time:
        timed = f" · precisions timed for {duration(model.timing_s)}" if model.timing_s else ""
        yield Moment(model.time, "·", "", f"network ready: {model.execution}{timed}")
    if (head := progress.head) is not None and head.time:
        yield Moment(head.time, "·", "", f"last layer trained: {plural(head.steps, 'step')}")


def reason_line(reason: str) -> str:
    """Return in one line why an attempt ended, explaining signals of clusters."""
    first = plain_text(reason.splitlines()[0])
    return f"{first}: the job timed out or was preempted" if first == _WARNED else first


def _attempt_moments(attempt: Attempt, task: RunTask) -> Iterator[Moment]:
    began = "started" if attempt.attempt == 1 else f"started, attempt {attempt.attempt}"
    if attempt.resumed_step is not None:
        began = f"resumed at {position_label(attempt.resumed_step, task)}"
    where = f"process {attempt.pid} on {plain_text(attempt.host)}"
    yield Moment(
        attempt.started_at, STATUS_SIGNS["running"], status_style("running"), f"{began} · {where}"
    )
    if attempt.outcome is None:
        return
    ended = plain_text(attempt.outcome)
    if attempt.step is not None:
        ended += f" at {position_label(attempt.step, task)}"
    if attempt.reason:
        ended += f": {reason_line(attempt.reason)}"
    sign, style = STATUS_SIGNS.get(attempt.outcome, "?"), status_style(attempt.outcome)
    yield Moment(attempt.ended_at, sign, style, ended)
