"""Everything known of one run, in sections for ``vld show``."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from vld_tui.runs.metrics import Attempt, CheckpointInfo
from vld_tui.runs.progress import Progress
from vld_tui.runs.run import DAMAGED, Run
from vld_tui.runs.run_folder import FolderContents
from vld_tui.views.accuracies import accuracy_views
from vld_tui.views.combined import findings, progress_label
from vld_tui.views.configuration import configuration
from vld_tui.views.domain_results import domain_results
from vld_tui.views.live import collapse_notice, notice_views
from vld_tui.views.plan import LABEL_CELLS, plan_rows
from vld_tui.views.queue import job_text, reason_in_words
from vld_tui.views.run_files import run_files
from vld_tui.views.run_heading import run_heading, trouble_line
from vld_tui.views.timeline import timeline
from vld_tui.words.numbers import duration, moment, plural
from vld_tui.words.palette import HEADING_STYLE, QUIET_STYLE, VERMILION
from vld_tui.words.text import fit, plain_text

Row = tuple[str, str]


def run_detail(
    run: Run,
    progress: Progress,
    *,
    attempts: Sequence[Attempt],
    checkpoints: Sequence[CheckpointInfo],
    contents: FolderContents,
    folder: str,
    cells: int,
    job_log: str | None = None,
) -> RenderableType:
    """Return the run's state, accuracies, fields, files and history in ``cells`` columns."""
    trouble = trouble_line(
        run,
        checkpoints,
        contents.suspended_pid,
        contents.stop_asked,
        resume=f"vld resume {plain_text(run.run_id)}",
    )
    parts: list[RenderableType] = [run_heading(run, cells, progress)]
    parts += [trouble] if trouble is not None else []
    more = (run.error or "").strip().partition("\n")[2]
    if more and run.status != DAMAGED:  # the whole reason is shown above
        parts.append(Text(plain_text(more, keep_newlines=True), VERMILION))
    parts.append(Text(""))
    if progress.collapse is not None:
        parts += [collapse_notice(progress, progress.collapse), Text("")]
    parts += notice_views(progress)
    facts = run_facts(run, progress, attempts, folder=folder, cells=cells, job_log=job_log)
    parts += [facts, Text("")]
    if progress.evaluations:
        parts += accuracy_views(run.task, progress, cells)
        parts += _section("Domains", domain_results(run.task, progress, cells))
    if run.has_spec:
        parts += _section("Configuration", configuration(run, cells))
    parts += _section("Files", run_files(contents.files, checkpoints, cells))
    parts += _section("Timeline", timeline(run, attempts, progress))
    return Group(*parts[:-1])


def run_facts(
    run: Run,
    progress: Progress,
    attempts: Sequence[Attempt],
    *,
    folder: str,
    cells: int,
    job_log: str | None = None,
) -> Text:
    """Return labelled lines: the run's state, plan, findings and folder."""
    rows = [*_state_rows(run)]
    if run.has_spec:
        rows += [*plan_rows(run.task, progress), *findings(run.task, progress)]
    if attempts:
        versions = (f"{name} {version}" for name, version in attempts[-1].versions.items())
        rows.append(("versions", plain_text(" · ".join(versions))))
        rows.append(("commit", plain_text(attempts[-1].commit or "")))
    rows += [("folder", plain_text(folder)), ("job's log", plain_text(job_log or ""))]
    text = Text(overflow="fold")
    for label, value in ((label, value) for label, value in rows if value):
        for at, line in enumerate(_wrapped(value, cells - LABEL_CELLS - 3)):
            text.append(f"  {fit('' if at else label, LABEL_CELLS)} ", QUIET_STYLE)
            text.append(f"{line}\n")
    text.right_crop(1)
    return text


def _section(title: str, body: RenderableType) -> list[RenderableType]:
    return [Text(title, HEADING_STYLE), body, Text("")]


def _state_rows(run: Run) -> Iterator[Row]:
    yield "run", plain_text(f"{run.run_id}  {run.name}")
    yield "created", moment(run.created_at)
    reached = progress_label(run.step, run.task)
    if run.is_live and run.seconds_left is not None:
        reached += f" · {duration(run.seconds_left)} left at the last report"
    elif run.wall_s is not None:
        reached += f" in {duration(run.wall_s)}"
    if run.has_spec:
        yield "progress" if run.combination else "steps", reached
    if run.is_live and run.pid is not None:
        yield "process", f"{run.pid} on {plain_text(run.host or 'this machine')}"
    if run.job is not None:
        where = f" · on {run.job_node}" if run.job_node else ""
        why = reason_in_words(run)
        yield "job", plain_text(job_text(run) + where) + (f" · {why}" if why else "")
    if run.tags:
        yield "tags", plain_text(" ".join(run.tags))
    if run.note:
        yield "note", plain_text(run.note, keep_newlines=True)
    if run.trashed_at is not None:
        yield "trashed", moment(run.trashed_at)
    if run.damaged_lines:
        yield "damaged", f"{plural(run.damaged_lines, 'line')} of the event log unreadable"


def _wrapped(text: str, cells: int) -> Iterator[str]:
    """Yield lines of so many cells; a longer word is cut."""
    for line in text.split("\n"):
        yield from textwrap.wrap(line, max(20, cells), break_on_hyphens=False) or [""]
