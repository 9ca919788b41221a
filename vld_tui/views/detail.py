"""Everything known of one run."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from engine.protocol import Combination
from vld_tui.runs.metrics import Attempt, CheckpointInfo
from vld_tui.runs.progress import Progress
from vld_tui.runs.run import Run
from vld_tui.views.accuracies import accuracy_views
from vld_tui.views.combined import MIXED, findings, progress_label, step_label
from vld_tui.views.jobs import job_text, reason_in_words
from vld_tui.views.live import collapse_notice, notice_views
from vld_tui.views.plan import LABEL_CELLS, plan_rows
from vld_tui.views.run_heading import stopping_label, suspended_label
from vld_tui.views.timeline import reason_line
from vld_tui.words.numbers import duration, moment, plural, size
from vld_tui.words.palette import (
    HEADING_STYLE,
    QUIET_STYLE,
    STATUS_SIGNS,
    VERMILION,
    status_label,
    status_style,
)
from vld_tui.words.text import plain_text

Row = tuple[str, str]


def run_detail(
    run: Run,
    progress: Progress,
    *,
    attempts: Sequence[Attempt],
    checkpoints: Sequence[CheckpointInfo],
    folder: str,
    cells: int,
    job_log: str | None = None,
    suspended_pid: int | None = None,
    stop_asked: str | None = None,
) -> RenderableType:
    """Return the run's state, plan, accuracies, history and files in ``cells`` columns."""
    parts: list[RenderableType] = [_heading(run), Text("")]
    if progress.collapse is not None:
        parts += [collapse_notice(progress, progress.collapse), Text("")]
    if run.error:
        parts += [Text(f"  {plain_text(run.error, keep_newlines=True)}", style=VERMILION), Text("")]
    parts += notice_views(progress)
    parts += [_table(_state_rows(run, suspended_pid, stop_asked)), Text("")]
    if run.has_spec:
        parts += [_table(plan_rows(run.spec, progress, run.combination)), Text("")]
    if found := findings(progress):
        parts += [_table(found), Text("")]
    if progress.evaluations:
        parts += accuracy_views(progress, cells, run.combination)
    history = [_attempt_row(attempt, run.combination) for attempt in attempts]
    history += [_checkpoint_row(checkpoint, run.combination) for checkpoint in checkpoints]
    if attempts:
        versions = (f"{name} {version}" for name, version in attempts[-1].versions.items())
        history.append(("versions", plain_text(" · ".join(versions))))
        if attempts[-1].commit:
            history.append(("commit", plain_text(attempts[-1].commit)))
    history.append(("folder", plain_text(folder)))
    if job_log is not None:
        history.append(("job's log", plain_text(job_log)))
    if run.has_spec:
        history.append(("spec", _spec(run)))
    parts.append(_table(history))
    return Group(*parts)


def _heading(run: Run) -> Text:
    heading = Text(f"Run {plain_text(run.run_id)}", style=HEADING_STYLE)
    heading.append(f"  {plain_text(run.name)}  ", style="default not bold")
    label = status_label(run.status, collapsed=run.collapsed)
    return heading.append(label, style=status_style(run.status, collapsed=run.collapsed))


def _state_rows(run: Run, suspended_pid: int | None, stop_asked: str | None) -> list[Row]:
    reached = progress_label(run.step, run.steps, run.combination)
    if run.is_live and run.seconds_left is not None:
        reached += f" · {duration(run.seconds_left)} left when last heard of"
    elif run.wall_s is not None:
        reached += f" in {duration(run.wall_s)}"
    rows = [("created", moment(run.created_at))]
    if run.has_spec:
        rows.append(("reached" if run.combination else "steps", reached))
    if run.is_live and run.pid is not None:
        process = f"{run.pid} on {plain_text(run.host or 'this machine')}"
        suspended = [] if suspended_pid is None else [suspended_label(suspended_pid)]
        stopping = [] if stop_asked is None else [stopping_label(stop_asked)]
        rows.append(("process", " · ".join([process, *suspended, *stopping])))
    if run.job is not None:
        where = f" · on {run.job_node}" if run.job_node else ""
        why = reason_in_words(run)
        rows.append(("job", plain_text(job_text(run) + where) + (f" · {why}" if why else "")))
    if run.tags:
        rows.append(("tags", plain_text(" ".join(run.tags))))
    if run.note:
        rows.append(("note", plain_text(run.note, keep_newlines=True)))
    if run.trashed_at is not None:
        rows.append(("trashed", moment(run.trashed_at)))
    if run.damaged_lines:
        rows.append(
            ("damaged", f"{plural(run.damaged_lines, 'line')} of the event log cannot be read")
        )
    return rows


def _attempt_row(attempt: Attempt, combination: Combination | None) -> Row:
    began = moment(attempt.started_at)
    if attempt.resumed_step is not None:
        began += f" from step {attempt.resumed_step:,}"
    parts = [began, f"process {attempt.pid} on {plain_text(attempt.host)}"]
    if attempt.outcome is not None:
        sign = STATUS_SIGNS.get(attempt.outcome, "?")
        step = "" if attempt.step is None else f" at {step_label(attempt.step, combination)}"
        took = ""
        if attempt.ended_at is not None:
            took = f" after {duration(attempt.ended_at - attempt.started_at)}"
        parts.append(f"{sign} {attempt.outcome}{step}{took}")
    if attempt.reason:
        parts.append(reason_line(attempt.reason))
    return f"attempt {attempt.attempt}", " · ".join(parts)


def _checkpoint_row(checkpoint: CheckpointInfo, combination: Combination | None) -> Row:
    facts = (
        step_label(checkpoint.step, combination),
        size(checkpoint.bytes),
        plain_text(checkpoint.file),
    )
    return checkpoint.kind, " · ".join(facts)


def _spec(run: Run) -> str:
    values = msgspec.to_builtins(run.spec) | dict.fromkeys(run.mixed_fields, MIXED)
    return plain_text("  ".join(f"{name}={_value(value)}" for name, value in values.items()))


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _table(rows: Sequence[Row]) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=LABEL_CELLS + 2, style=QUIET_STYLE)
    table.add_column(overflow="fold")
    for label, value in rows:
        table.add_row(Text(f"  {label}"), Text(value))
    return table
