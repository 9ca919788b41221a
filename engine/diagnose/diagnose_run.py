"""Compute diagnostics of runs and store them in their folders, one after another.

A result that is up to date is not computed again, so an interrupted command can be repeated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec

from engine.diagnose.computed import COMPUTED
from engine.diagnose.found import filled
from engine.diagnose.run_features import FeatureSource, RunFeatures
from engine.errors import InputError
from engine.features.cached import FrozenPart
from engine.inference.classifier import checkpoint_digest
from engine.inference.session import refusing_large_batches
from engine.model import FineTunedNetwork
from engine.protocol.diagnostics import (
    DIAGNOSTICS,
    Diagnosed,
    DiagnoseRun,
    DiagnoseRuns,
    Diagnosis,
    Diagnostic,
)
from engine.protocol.work import WorkNote
from engine.rundir import RunDir
from engine.work import Reporter, progress_of


def diagnose_runs(request: DiagnoseRuns, report: Reporter) -> tuple[Diagnosed, ...]:
    """Return the results of diagnostics of runs, one after another.

    Raises:
        InputError: if the only run cannot be diagnosed.
    """
    if len(request.runs) == 1:
        return (diagnose_run(request.runs[0], report),)
    found = []
    progress = progress_of(report, "diagnosing runs", "runs")
    for number, each in enumerate(request.runs):
        progress(number, len(request.runs))
        try:
            found.append(diagnose_run(each, report))
        except InputError as error:
            found.append(Diagnosed(refused=str(error)))
    progress(len(request.runs), len(request.runs))
    return tuple(found)


def diagnose_run(request: DiagnoseRun, report: Reporter) -> Diagnosed:
    """Return the results of diagnostics of a run.

    Raises:
        InputError: if the run's features cannot be read.
    """
    wanted = [DIAGNOSTICS[name] for name in request.diagnostics]
    source = FeatureSource.open(request, report)
    start = source.start_network() if any(each.reads_start for each in wanted) else None
    stored = {} if request.recomputes else source.run_dir.read_diagnoses().found
    digest = "" if start is None else FrozenPart.of(start).digest
    has_other = any(each.reads_other_seed for each in wanted)
    other = _checkpoint_of_other(request, report) if has_other else ""
    plans = {each.name: _empty(each, source, digest, request, other) for each in wanted}
    done = {
        name: stored[name]
        for name, plan in plans.items()
        if name in stored and stored[name].is_as(plan)
    }
    missing = [each for each in wanted if each.name not in done]
    computed, problems, unsaved = [], {}, ""
    if missing:
        reads_other = other != "" and any(each.reads_other_seed for each in missing)
        opened = _open_other(request, report) if reads_other else None
        run = _read(source, start, opened, missing, report)
        progress = progress_of(report, "computing diagnostics", "diagnostics")
        for number, each in enumerate(missing):
            progress(number, len(missing))
            try:
                plan = plans[each.name]
                if run.other_seed is None:  # its checkpoint exists, but cannot be used
                    plan = msgspec.structs.replace(plan, other_seed="")
                compute = partial(COMPUTED[each.name], run, each.settings)
                done[each.name] = filled(plan, compute)
            except InputError as error:
                problems[each.name] = str(error)
                continue
            computed.append(each.name)
            unsaved = unsaved or _store(source.run_dir, done[each.name])
        progress(len(missing), len(missing))
    if not done and len(set(problems.values())) == 1:
        raise InputError(next(iter(problems.values())))
    found = tuple(done[each.name] for each in wanted if each.name in done)
    return Diagnosed(found, tuple(computed), problems, unsaved)


def _checkpoint_of_other(request: DiagnoseRun, report: Reporter) -> str:
    """Return the digest of the checkpoint of the run of another seed; empty: it has none."""
    digest = ""
    if request.other_seed is not None:
        with _leaving_out_other(report):
            digest = checkpoint_digest(RunDir(Path(request.other_seed)))
    return digest


def _open_other(request: DiagnoseRun, report: Reporter) -> FeatureSource | None:
    """Return the run of another seed; None if there is none or its network cannot be read."""
    other = None
    if request.other_seed is not None:
        with _leaving_out_other(report):
            other = FeatureSource.open(
                msgspec.structs.replace(request, run_dir=request.other_seed), report
            )
    return other


@contextmanager
def _leaving_out_other(report: Reporter) -> Iterator[None]:
    """Note if the run of another seed cannot be read in the block."""
    try:
        yield
    except InputError as error:
        report(WorkNote(f"The run of another seed is left out: {error}"))


def _read(
    source: FeatureSource,
    start: FineTunedNetwork | None,
    other: FeatureSource | None,
    diagnostics: Sequence[Diagnostic],
    report: Reporter,
) -> RunFeatures:
    """Return what diagnostics read of a run, its first network and the run of another seed."""
    reads_start = any(each.reads_start for each in diagnostics)
    has_stages = any(each.reads_stages for each in diagnostics)
    with refusing_large_batches(source.device, source.batch_size):
        run = source.read(start if reads_start else None, report, has_stages=has_stages)
        if any(each.reads_arms for each in diagnostics):
            run = replace(run, arms=source.arms)
        if other is not None:
            with _leaving_out_other(report):
                run = replace(run, other_seed=source.read_other(other, report))
    return run


def _empty(
    diagnostic: Diagnostic,
    source: FeatureSource,
    start: str,
    request: DiagnoseRun,
    other: str,
) -> Diagnosis:
    """Return a diagnosis without values: what it is of."""
    return Diagnosis(
        diagnostic=diagnostic.name,
        version=diagnostic.version,
        settings=diagnostic.settings,
        arm=source.arm,
        step=source.step,
        checkpoint=source.checkpoint,
        data_digest=source.data.digest,
        start=start if diagnostic.reads_start else "",
        scratch=request.scratch if diagnostic.reads_scratch else (),
        other_seed=other if diagnostic.reads_other_seed else "",
        arms=source.arms.steps if diagnostic.reads_arms else (),
    )


def _store(run_dir: RunDir, diagnosis: Diagnosis) -> str:
    """Store a result; return why it could not be, or nothing."""
    try:
        run_dir.write_diagnosis(diagnosis)
    except OSError as error:
        return f"Results were not stored: {error}."
    return ""
