"""Everything known of one run, in sections: facts, fields and files."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from engine.protocol import (
    ARMS,
    FIELDS,
    RECIPES,
    FieldInfo,
    RunSpec,
    SpecError,
    resolve_spec,
    shown_value,
)
from engine.protocol.embedded import DEFAULT_DATASET
from vld_tui.runs.metrics import Attempt, CheckpointInfo
from vld_tui.runs.progress import Progress
from vld_tui.runs.run import NOT_READABLE, Run
from vld_tui.runs.run_folder import FolderContents, RunFile
from vld_tui.views.accuracies import accuracy_views, domain_results
from vld_tui.views.combined import MIXED, findings, progress_label
from vld_tui.views.diagnoses import diagnosis_list
from vld_tui.views.evaluations import evaluation_list
from vld_tui.views.live import collapse_notice, notice_views
from vld_tui.views.phase import activity
from vld_tui.views.plan import LABEL_CELLS, plan_rows
from vld_tui.views.queue import job_text, reason_in_words
from vld_tui.views.run_status import run_heading, timeline, trouble_line
from vld_tui.views.system import SystemSummary
from vld_tui.words.columns import Column, styled_table
from vld_tui.words.numbers import UNKNOWN, duration, moment, plural, size
from vld_tui.words.palette import HEADING_STYLE, ID_STYLE, OOD_STYLE, QUIET_STYLE, VERMILION, YELLOW
from vld_tui.words.text import fit, plain_text, shorten, width

CHANGED_SIGN: Final = "●"
CHANGED_STYLE: Final = f"bold {YELLOW}"
FIELD_CELLS: Final = 20
VALUE_CELLS: Final = 24
FILE_PURPOSES: Final[Mapping[str, str]] = {
    "spec.json": "settings of the run",
    "combination.json": "parents and method of a combining run",
    "events.jsonl": "event log",
    "process.json": "process: pid, start time, host",
    "heartbeat": "heartbeat: modified while the engine is alive",
    "exit.json": "exit code, if it was collected",
    "stop.json": "request to save and stop",
    "killed.json": "who killed the process",
    "user.json": "name, tags, note",
    "engine.log": "stdout and stderr of the engine",
    "engine.lock": "lock held by the running engine",
    "predictions.json": "predictions on held-out images at the selected step",
    **{f"predictions-{arm}.json": f"predictions of arm {arm} at its selected step" for arm in ARMS},
    "predictions.bin": "predictions on held-out images at every evaluation",
    "calibration.json": "temperatures that calibrate probabilities, and OOD thresholds",
    "diagnoses/suspects.json": "training images whose label may be wrong",
    "checkpoints/last.safetensors": "full state, to resume from",
    "checkpoints/best.safetensors": "network at the selected step",
    "abstention.safetensors": "class abstain at the selected step, for vld shift",
    "checkpoints/averaged.safetensors": "averaged network at its selected step",
    "checkpoints/swad.safetensors": "network averaged by SWAD",
    "checkpoints/refined.safetensors": "network with the refined last layer",
}
UNKNOWN_PURPOSE: Final = "unknown"
_FILE_COLUMNS: Final = (
    Column("file", rank=1000, shrinks=True, narrowest=16),
    Column("size", right=True, rank=999),
    Column("", rank=1, shrinks=True, style=QUIET_STYLE),
)
FILE_COLUMNS: Final = ("file", "size", "purpose")
"""The texts that :func:`run_files` selects files by."""


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
    system: SystemSummary | None = None,
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
    if more and run.status not in NOT_READABLE:  # the whole reason is shown above
        parts.append(Text(plain_text(more, keep_newlines=True), VERMILION))
    parts.append(Text(""))
    if progress.collapse is not None:
        parts += [collapse_notice(progress, progress.collapse), Text("")]
    parts += notice_views(run.task, progress)
    facts = run_facts(
        run, progress, attempts, folder=folder, cells=cells, job_log=job_log, system=system
    )
    parts += [facts, Text("")]
    if progress.evaluations:
        parts += accuracy_views(run.task, progress, cells)
        parts += _section("Domains", domain_results(run.task, progress, cells))
    if contents.evaluations.found or contents.evaluations.damaged:
        listed = evaluation_list(contents.evaluations, cells)
        parts += _section("Evaluations on other data", listed)
    if contents.diagnoses.found or contents.diagnoses.damaged:
        listed = diagnosis_list(contents.diagnoses, run.selected_step, cells)
        parts += _section("Diagnostics", listed)
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
    system: SystemSummary | None = None,
) -> Text:
    """Return labelled lines: the run's state, plan, findings and folder."""
    rows = [*_state_rows(run)]
    if run.has_spec:
        rows += [*plan_rows(run.task, progress), *findings(run.task, progress)]
    if system is not None:
        rows.append(("machine", system.words))
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


def _state_rows(run: Run) -> Iterator[tuple[str, str]]:
    yield "run", plain_text(f"{run.run_id}  {run.label}")
    yield "created", moment(run.created_at)
    reached = progress_label(run.step, run.task)
    if run.is_live and run.seconds_left is not None:
        reached += f" · {duration(run.seconds_left)} left at the last report"
    elif run.wall_s is not None:
        reached += f" in {duration(run.wall_s)}"
    if run.has_spec:
        yield "progress" if run.combination else "steps", reached
    if doing := activity(run):
        yield "doing", doing
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


def recipe_defaults(spec: RunSpec) -> RunSpec:
    """Return the default values for the same recipe, data set and length."""
    known: dict[str, object] = {"dataset": spec.dataset}
    if spec.recipe in RECIPES:
        known["recipe"] = spec.recipe
    plain = resolve_spec(known)
    others = {name: getattr(spec, name) for name in ("steps", "tuning", "model")}
    try:
        usual = resolve_spec({**known, **others})  # its schedule is fitted
    except SpecError:  # more steps than are allowed now
        usual = plain
    kept = {name: getattr(plain, name) for name in others}
    return msgspec.structs.replace(usual, dataset=DEFAULT_DATASET, **kept)


def configuration(run: Run, cells: int) -> Text:
    """Return every field, one per line, below the name of its group."""
    spec = run.spec
    usual = recipe_defaults(spec)
    text = Text(no_wrap=True, overflow="crop")
    changed = sum(getattr(spec, name) != getattr(usual, name) for name in FIELDS)
    text.append(f"{CHANGED_SIGN} ", CHANGED_STYLE)
    count = f"{plural(changed, 'field')} changed from recipe {plain_text(spec.recipe)}"
    text.append(count, QUIET_STYLE)
    for group, fields in itertools.groupby(FIELDS.values(), key=lambda info: info.group):
        text.append(f"\n\n{group}", HEADING_STYLE)
        for info in fields:
            text.append("\n")
            _append_field(text, info, run, usual, cells)
    return text


def _append_field(text: Text, info: FieldInfo, run: Run, usual: RunSpec, cells: int) -> None:
    value, default = getattr(run.spec, info.name), getattr(usual, info.name)
    is_changed = value != default
    label = fit(info.label, FIELD_CELLS)
    text.append(f"{CHANGED_SIGN if is_changed else ' '} ", CHANGED_STYLE)
    text.append(f"{label} ", "" if is_changed else QUIET_STYLE)
    shown = _shown(run, info.name)
    about = f"recipe: {plain_text(shown_value(default))}" if is_changed else info.help
    text.append(shown, CHANGED_STYLE if is_changed else "")
    used = 2 + FIELD_CELLS + 1 + width(shown)
    gap = max(2, 2 + FIELD_CELLS + 1 + VALUE_CELLS - used)
    if (room := cells - used - gap) >= 12:
        text.append(" " * gap + shorten(about, room), QUIET_STYLE)


def configuration_difference(run: Run, other: Run, cells: int) -> Text:
    """Return the fields in which two runs differ, with both values."""
    mixed = {*run.mixed_fields, *other.mixed_fields}
    names = [
        name
        for name in FIELDS
        if name in mixed or getattr(run.spec, name) != getattr(other.spec, name)
    ]
    text = Text(no_wrap=True, overflow="crop")
    text.append(f"{plural(len(names), 'field')} of {len(FIELDS)} differ", HEADING_STYLE)
    text.append("\n\n")
    columns = [
        Column("", rank=1000),
        Column(plain_text(run.label), rank=999, shrinks=True, style=ID_STYLE),
        Column(plain_text(other.label), rank=998, shrinks=True, style=OOD_STYLE),
    ]
    rows = [[FIELDS[name].label, *_values(run, other, name)] for name in names]
    return text.append_text(styled_table(columns, rows, cells))


def _values(run: Run, other: Run, name: str) -> list[str]:
    return [_shown(each, name) for each in (run, other)]


def _shown(run: Run, name: str) -> str:
    """Return the value of a field of a run, if it has one."""
    if not run.has_spec:
        return UNKNOWN
    if name in run.mixed_fields:
        return MIXED
    return plain_text(shown_value(getattr(run.spec, name)))


def run_files(
    files: Sequence[RunFile],
    checkpoints: Sequence[CheckpointInfo],
    cells: int,
    select: Callable[[Sequence[Sequence[str]]], Sequence[int]] | None = None,
) -> Text:
    """Return a line for each file; checkpoints come first, with their steps.

    ``select`` returns the places of the rows to show; None: all.
    """
    if not files:
        return Text("The folder is empty or missing.", QUIET_STYLE)
    steps = {each.file: each.step for each in checkpoints}
    ordered = sorted(files, key=lambda file: (not file.name.startswith("checkpoints/"), file.name))
    rows = [[plain_text(each.name), size(each.bytes), _purpose(each, steps)] for each in ordered]
    places = range(len(rows)) if select is None else select(rows)
    shown = [rows[place] for place in places]
    shown.append(["", size(sum(ordered[place].bytes for place in places)), "total"])
    return styled_table(_FILE_COLUMNS, shown, cells)


def _purpose(file: RunFile, steps: Mapping[str, int]) -> str:
    purpose = FILE_PURPOSES.get(file.name, UNKNOWN_PURPOSE)
    if file.name.startswith("evaluations/"):
        purpose = "evaluation on other data"
    if file.name.startswith("diagnoses/") and file.name not in FILE_PURPOSES:
        purpose = "result of a diagnostic"
    return f"step {steps[file.name]:,}: {purpose}" if file.name in steps else purpose
