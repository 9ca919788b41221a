"""``vld show``: a run's state, settings, results and files."""

from __future__ import annotations

from typing import Any, Final

import typer

from engine.protocol import PredictionsError
from engine.protocol.measures import SYSTEM
from engine.protocol.selection import selection_key
from engine.rundir import RunDir
from vld_tui.cli.command import Command, JsonOption, RunArgument
from vld_tui.cli.output import plain_console, print_json, say, with_home
from vld_tui.cli.session import find_imported_instead, open_for_runs, refresh_or_say
from vld_tui.control.records import checkpoint_records, run_records
from vld_tui.runs.diagnoses import diagnosis_record
from vld_tui.runs.evaluations import evaluation_record
from vld_tui.runs.imported import ImportedRun
from vld_tui.runs.progress import Progress
from vld_tui.runs.run import Run
from vld_tui.runs.run_folder import EventFollower, FolderReader, stop_asked, suspended_pid
from vld_tui.store.errors import RunNotFound, SeriesDamaged
from vld_tui.store.ingest import log_size
from vld_tui.store.store import Store
from vld_tui.views.accuracies import interval_record
from vld_tui.views.combined import cautions
from vld_tui.views.detail import run_detail
from vld_tui.views.imported import imported_detail, imported_record
from vld_tui.views.notifications import failure_lines
from vld_tui.views.predictions import class_shares
from vld_tui.views.system import SystemSummary, system_summary

LONG_LOG_BYTES: Final = 2**23
"""Above this log size, losses and evaluations are read from the database."""

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=Command)
def show(ctx: typer.Context, run: RunArgument, as_json: JsonOption = False) -> None:
    """Show a run's state, settings, results and files."""
    try:
        opened = open_for_runs(ctx, [run], with_jobs=False)
    except RunNotFound as error:
        _show_imported(find_imported_instead(ctx, run, error), as_json=as_json)
        return
    with opened as store:
        known = store.runs.get(run)
        if known.has_job:
            refresh_or_say(store)
            known = store.runs.get(known.run_id)
        run_dir = store.runs.run_dir(known.run_id)
        progress = _progress(store, known, run_dir)
        if as_json:
            print_json(_record(store, known, run_dir, progress))
            return
        job = run_dir.read_job()
        console = plain_console()
        detail = run_detail(
            known,
            progress,
            attempts=store.series.timeline(known.run_id),
            checkpoints=store.checkpoints.left(known.run_id),
            contents=FolderReader(run_dir).read(),
            folder=str(run_dir.path),
            cells=console.width,
            job_log=None if job is None else job.log,
            system=_system(store, known),
        )
        unsent = store.notifications.failures_of(known.run_id)
        with console.capture() as capture:
            console.print(detail)
    for line in capture.get().splitlines():
        typer.echo(line.rstrip(), color=True)
    for line in failure_lines(unsent):
        say(with_home(line))


def _show_imported(run: ImportedRun, *, as_json: bool) -> None:
    if as_json:
        print_json(imported_record(run))
        return
    for line in imported_detail(run):
        say(line)


def _progress(store: Store, run: Run, run_dir: RunDir) -> Progress:
    """Return a run's progress from its log; for a long log, metrics come from the database."""
    if log_size(run_dir) <= LONG_LOG_BYTES:
        return Progress.told_by(EventFollower(run_dir).news())
    from vld_tui.runs.curves import (
        MOST_EVALUATIONS,
        Story,
        as_arrays,  # imports numpy
    )

    series = store.series.thinned(run.run_id, most=MOST_EVALUATIONS, kept_step=run.selected_step)
    return Story(run_dir, reads_all=True).progress(
        as_arrays(series), selection_key(run.spec, run.arm)
    )


def _record(store: Store, run: Run, run_dir: RunDir, progress: Progress) -> dict[str, Any]:
    attempts = store.series.timeline(run.run_id)
    step = run.selected_step
    at_selected = [] if step is None else store.series.metrics(run.run_id, step=step)
    (record,) = run_records(store, [run])
    return (
        record
        | interval_record(progress, progress.selected)
        | {
            "arms": [each | _arm_intervals(progress, each) for each in record["arms"]],
            "pid": run.pid,
            "host": run.host,
            "suspended": run.is_live and suspended_pid(run_dir) is not None,
            "stop_asked": stop_asked(run_dir) if run.is_live else None,
            "exit_code": run.exit_code,
            "steps_per_s": run.steps_per_s,
            "images_per_s": run.images_per_s,
            "seconds_left": run.seconds_left if run.is_live else None,
            "damaged_lines": run.damaged_lines,
            "spec": run.spec,
            "data": progress.data,
            "network": progress.model,
            "collapse": progress.collapse,
            "cautions": cautions(run.task, progress),
            "parents_measured": progress.parents,
            "parents_tried": progress.tried,
            "barriers": progress.barriers,
            "metrics": at_selected,
            "combination": run.combination,
            "class_accuracies": _class_accuracies(run_dir),
            "evaluations": [evaluation_record(each) for each in run_dir.read_evaluations().found],
            "diagnoses": {
                name: diagnosis_record(each)
                for name, each in run_dir.read_diagnoses().found.items()
            },
            "checkpoints": checkpoint_records(store, run),
            "timeline": attempts,
            "unsent_notifications": store.notifications.failures_of(run.run_id),
            "versions": attempts[-1].versions if attempts else {},
            "commit": attempts[-1].commit if attempts else None,
            "system": None if (found := _system(store, run)) is None else found.as_record(),
            "paths": {
                "folder": str(run_dir.path),
                "spec": str(run_dir.spec),
                "events": str(run_dir.events),
                "log": str(run_dir.log),
                "predictions": str(run_dir.predictions),
            },
        }
    )


def _system(store: Store, run: Run) -> SystemSummary | None:
    """Return what the run used of its machine; None without samples, or if they are damaged."""
    try:
        series = store.series.all(run.run_id, split=SYSTEM)
    except SeriesDamaged:
        return None
    return system_summary(dict(series))


def _arm_intervals(progress: Progress, arm: dict[str, Any]) -> dict[str, Any]:
    """Return an arm's intervals at its selected step."""
    evaluations = progress.arms.get(arm["arm"], ())
    at_step = (each for each in evaluations if each.step == arm["selected_step"])
    return interval_record(progress, next(at_step, None))


def _class_accuracies(run_dir: RunDir) -> list[dict[str, Any]] | None:
    """Return the accuracy of each class in each domain, or None if not recorded."""
    try:
        predictions = run_dir.read_predictions()
    except PredictionsError:
        return None
    if predictions is None:
        return None
    classes = predictions.classes
    return [
        {
            "step": predictions.step,
            "domain": each.domain,
            "split": each.split,
            "classes": {
                name: share.accuracy
                for name, share in zip(classes, class_shares(each, len(classes)), strict=True)
            },
        }
        for each in predictions.domains
    ]
