"""The history of a run: created, started, stopped, resumed, ended, and why."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from rich.text import Text

from engine.protocol import RunTask
from vld_tui.runs.metrics import Attempt
from vld_tui.runs.progress import Progress
from vld_tui.runs.run import QUEUED, Run
from vld_tui.views.combined import has_choice, place_label, step_label
from vld_tui.views.lines import collapse_line, recovery_line
from vld_tui.views.queue import job_text
from vld_tui.words.numbers import duration, id_words, moment, percent
from vld_tui.words.palette import ALARM_STYLE, QUIET_STYLE, STATUS_SIGNS, status_style
from vld_tui.words.text import plain_text

UNDATED: Final = " " * 19
SINCE_CELLS: Final = 8
_WARNED: Final = "SIGUSR2"
"""Signals that clusters send before a job ends."""


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
    if (collapse := progress.collapse) is not None:
        recovered = progress.recovered_step
        line = collapse_line(collapse) if recovered is None else recovery_line(collapse, recovered)
        style = ALARM_STYLE if recovered is None else ""
        yield Moment(collapse.time or None, "", style, line)
    if (selected := progress.selected) is not None:
        of_id = id_words(selected.id_accuracy, selected.plain_id_accuracy)
        accuracies = f"{of_id} · OOD {percent(selected.ood_accuracy)}"
        what = "evaluated"
        if has_choice(run.task):
            what = f"selected {step_label(selected.step, run.task)} was evaluated"
        yield Moment(selected.time or None, "★", "", f"{what} · {accuracies}")
    if run.status == QUEUED:
        waits = "held in the queue" if run.is_held else "queued"
        if run.has_job:
            waits = f"job {plain_text(job_text(run))}"
        yield Moment(None, STATUS_SIGNS[QUEUED], status_style(QUEUED), waits)
    elif not attempts:
        yield Moment(None, STATUS_SIGNS.get(run.status, "?"), status_style(run.status), run.status)
    if run.error and not (attempts and attempts[-1].reason):
        yield Moment(None, "✗", status_style("failed"), plain_text(run.error.splitlines()[0]))


def reason_line(reason: str) -> str:
    """Return in one line why an attempt ended, explaining signals of clusters."""
    first = plain_text(reason.splitlines()[0])
    return f"{first}: the job timed out or was preempted" if first == _WARNED else first


def _attempt_moments(attempt: Attempt, task: RunTask) -> Iterator[Moment]:
    began = "started" if attempt.attempt == 1 else f"started, attempt {attempt.attempt}"
    if attempt.resumed_step is not None:
        began = f"resumed at {place_label(attempt.resumed_step, task)}"
    where = f"process {attempt.pid} on {plain_text(attempt.host)}"
    yield Moment(
        attempt.started_at, STATUS_SIGNS["running"], status_style("running"), f"{began} · {where}"
    )
    if attempt.outcome is None:
        return
    ended = plain_text(attempt.outcome)
    if attempt.step is not None:
        ended += f" at {place_label(attempt.step, task)}"
    if attempt.reason:
        ended += f": {reason_line(attempt.reason)}"
    sign, style = STATUS_SIGNS.get(attempt.outcome, "?"), status_style(attempt.outcome)
    yield Moment(attempt.ended_at, sign, style, ended)
