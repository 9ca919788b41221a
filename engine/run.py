"""One run from its folder: read what to do, and do it."""

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

from engine.combine import combine, find_parents
from engine.data import RunData, load_data
from engine.distributed.launcher import check_images, check_machine, train_on_ranks
from engine.errors import InputError
from engine.protocol import (
    PROTOCOL_VERSION,
    AttemptEnd,
    DataPrepared,
    DomainInfo,
    RunFailed,
    RunFinished,
    RunStarted,
    RunStopped,
    check_gpus,
)
from engine.rundir import ProcessInfo, RunDir
from engine.rundir.event_log import EventLog
from engine.stop_request import StopRequest
from engine.train import fine_tune, load_last, shortage_explained


def run(
    run_dir: RunDir,
    log: EventLog,
    stop: StopRequest,
    previous_end: AttemptEnd | None = None,
    gpus: int | None = None,
) -> RunFinished | RunStopped | RunFailed:
    """Take the run up, from its checkpoint if there is one, and return how it ended.

    A run that combines others begins anew. ``previous_end``: of an attempt that left no word.
    ``gpus``: on how many of this machine to go on; None: as the run was made for. Failures are
    returned of ranks, and raised otherwise.

    Raises:
        InputError: for input no run can be made of.
        SpecError: for a specification that is missing or damaged.
        StopRequested: when asked to stop before there was anything to save.
        TrainingError: when training cannot go on, for want of memory for example.
    """
    if log.protocol_version > PROTOCOL_VERSION:
        raise InputError(
            f"Run {run_dir.run_id} was begun by a newer version of this program (protocol "
            f"{log.protocol_version}; this one knows {PROTOCOL_VERSION}): upgrade vld-tui."
        )
    began = time.perf_counter()
    spec, combination = run_dir.read_spec(), run_dir.read_combination()
    if gpus is not None:
        spec = msgspec.structs.replace(spec, gpus=gpus, nodes=1)
    check_gpus(spec)
    checkpoint = load_last(run_dir.last_checkpoint)
    process = ProcessInfo.of(os.getpid())
    log.record(
        RunStarted(
            protocol_version=PROTOCOL_VERSION,
            attempt=log.attempts + 1,
            pid=process.pid,
            host=process.host,
            resumed_step=None if checkpoint is None else checkpoint.state.step,
            versions=versions(),
            commit=_commit(),
            previous_end=previous_end,
            birth=process.birth,
        )
    )
    if combination is None:
        check_machine(spec)
    parents = find_parents(run_dir.run_id, spec, combination) if combination else ()
    started = time.perf_counter()
    data = load_data(spec, run_dir.cache, lambda _done, _total: stop.raise_if_requested())
    log.record(_describe(data, time.perf_counter() - started))
    stop.raise_if_requested()
    if combination is not None:
        return combine(spec, combination, parents, data, run_dir, log, stop)
    if spec.ranks > 1:
        check_images(spec, data)
        del checkpoint, data  # the ranks read their own
        return train_on_ranks(spec, run_dir, log, stop)
    with shortage_explained(spec, data, run_dir, stop):
        return fine_tune(spec, data, run_dir, checkpoint, log, stop, began=began)


def versions() -> dict[str, str]:
    """Return the versions of everything that can change a result."""
    return {
        "vld-tui": metadata.version("vld-tui"),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "torchvision": metadata.version("torchvision"),
        "timm": timm.__version__,
        "safetensors": safetensors.__version__,
    }


def _commit() -> str | None:
    """Return the commit of this program's own checkout; None when it is installed."""
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
    )
