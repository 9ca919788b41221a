"""Execution of one run: read its specification, then train or combine."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from importlib import metadata
from pathlib import Path

import msgspec
import safetensors
import timm
import torch

from engine.combine import combine
from engine.combine.parents import ParentRun, find_parents
from engine.data import RunData, load_with_outliers
from engine.diagnose.after_training import diagnose_trained
from engine.distributed.launcher import check_images, check_machine, train_on_ranks
from engine.errors import InputError
from engine.protocol import (
    PROTOCOL_VERSION,
    AttemptEnd,
    CombinationSpec,
    DataPrepared,
    DomainInfo,
    RunFailed,
    RunFinished,
    RunSpec,
    RunStarted,
    RunStopped,
    RunTask,
    check_gpus,
    spec_of,
)
from engine.protocol.spec import applies
from engine.rundir import ProcessInfo, RunDir
from engine.rundir.event_log import EventLog
from engine.rundir.monitor import Monitor
from engine.rundir.phases import Phases
from engine.rundir.teacher import find_teacher
from engine.stop_request import StopRequest
from engine.train import explain_out_of_memory, fine_tune, load_last
from engine.train.checkpoint import Checkpoint


def run(
    run_dir: RunDir,
    log: EventLog,
    stop: StopRequest,
    previous_end: AttemptEnd | None = None,
    gpus: int | None = None,
) -> RunFinished | RunStopped | RunFailed:
    """Start the run, or resume it from its checkpoint, and return how it ended.

    A combination run always starts from the beginning. Failures on several ranks are returned,
    others raised.

    Args:
        run_dir: the run's folder.
        log: its event log.
        stop: request to stop.
        previous_end: end of the previous attempt if it recorded no terminal event.
        gpus: GPUs of this machine to resume on; None: as in the spec.

    Raises:
        InputError: if the input is invalid.
        SpecError: if the specification is missing or damaged.
        StopRequested: if asked to stop before there is anything to save.
        TrainingError: if training cannot continue, such as for insufficient memory.
    """
    if log.protocol_version > PROTOCOL_VERSION:
        raise InputError(
            f"Run {run_dir.run_id} was started by a newer version of vld-tui (protocol "
            f"{log.protocol_version}; this version supports {PROTOCOL_VERSION}). Upgrade vld-tui."
        )
    began = time.perf_counter()
    task = run_dir.read_task()
    spec = spec_of(task)
    if gpus is not None:
        spec = msgspec.structs.replace(spec, gpus=gpus, nodes=1)
    check_gpus(spec)
    checkpoint = load_last(run_dir.last_checkpoint)
    resumed_step = None if checkpoint is None else checkpoint.state.step
    log.record(_describe_start(log.attempts + 1, resumed_step, previous_end))
    outcome = _execute(task, spec, run_dir, checkpoint, log, stop, began)
    if isinstance(outcome, RunFinished):
        del checkpoint  # diagnostics need its memory
        return diagnose_trained(spec, outcome, run_dir, Phases(log), stop)
    return outcome


def _execute(
    task: RunTask,
    spec: RunSpec,
    run_dir: RunDir,
    checkpoint: Checkpoint | None,
    log: EventLog,
    stop: StopRequest,
    began: float,
) -> RunFinished | RunStopped | RunFailed:
    """Train or combine; ``spec`` is that of the task on the GPUs of this attempt."""
    parents: tuple[ParentRun, ...] = ()
    if isinstance(task, CombinationSpec):
        parents = find_parents(run_dir.run_id, task)
    else:
        check_machine(spec)
        if checkpoint is None and applies(spec, "teacher"):
            find_teacher(spec, run_dir.path.parent, run_dir.run_id)
    started = time.perf_counter()
    monitor = Monitor(log, run_dir.path, step=0 if checkpoint is None else checkpoint.state.step)
    phases = Phases(log, monitor)
    data = _load(spec, run_dir, phases, stop)
    log.record(_describe(data, time.perf_counter() - started))
    stop.raise_if_requested()
    if isinstance(task, CombinationSpec):
        return combine(task, parents, data, run_dir, log, stop, monitor)
    check_images(spec, data)
    if spec.ranks > 1:
        del checkpoint, data  # each rank reads its own
        phases.begin("starting_processes")
        return train_on_ranks(spec, run_dir, log, stop)
    with explain_out_of_memory(spec, data, run_dir, stop):
        return fine_tune(spec, data, run_dir, checkpoint, log, stop, began=began, monitor=monitor)


def _load(spec: RunSpec, run_dir: RunDir, phases: Phases, stop: StopRequest) -> RunData:
    phases.begin("finding_images")
    report = phases.progress("decoding_images")

    def on_progress(done: int, total: int) -> None:
        stop.raise_if_requested()
        report(done, total)

    return load_with_outliers(spec, run_dir.cache, on_progress)


def _describe_start(
    attempt: int, resumed_step: int | None, previous_end: AttemptEnd | None
) -> RunStarted:
    process = ProcessInfo.of(os.getpid())
    return RunStarted(
        protocol_version=PROTOCOL_VERSION,
        attempt=attempt,
        pid=process.pid,
        host=process.host,
        resumed_step=resumed_step,
        versions=versions(),
        commit=_commit(),
        previous_end=previous_end,
        birth=process.birth,
    )


def versions() -> dict[str, str]:
    """Return the versions of all packages that can affect results."""
    return {
        "vld-tui": metadata.version("vld-tui"),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "torchvision": metadata.version("torchvision"),
        "timm": timm.__version__,
        "safetensors": safetensors.__version__,
    }


def _commit() -> str | None:
    """Return the commit of this program's checkout; None if it is installed."""
    here = Path(__file__).resolve().parent
    if not (here.parent / ".git").exists():
        return None
    try:
        answer = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None


def _describe(data: RunData, wall_s: float) -> DataPrepared:
    return DataPrepared(
        dataset=data.name,
        target=data.target.name if data.target else None,
        classes=list(data.classes),
        domains=[
            DomainInfo(
                name=domain.name,
                is_target=domain.is_target,
                images=len(domain.labels),
                in_images=len(domain.in_indices),
                out_images=len(domain.out_indices),
                is_held_out=domain.is_held_out,
            )
            for domain in data.domains
        ],
        skipped=list(data.skipped),
        wall_s=wall_s,
        digest=data.digest,
        layout=data.image_set.layout,
        reading=data.image_set.reading,
        left_out=data.image_set.left_out,
        shared_images=data.shared_images,
        outliers=None if data.outliers is None else len(data.outliers.sources[0].labels),
        skipped_outliers=[] if data.outliers is None else list(data.outliers.skipped),
    )
