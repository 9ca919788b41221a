"""One rank of a run: ``python -m engine.distributed.worker RUN_DIR``, started by an agent."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import torch
import torch.distributed as dist

from engine.data import load_with_outliers
from engine.distributed.agent import AGENT_PID, exit_with_parent
from engine.distributed.exchange import Exchange
from engine.distributed.group import joined
from engine.errors import InputError, TrainingError
from engine.failures import describe_failure
from engine.machine.devices import device_name, resolve_device
from engine.machine.processor import keep_freed_memory
from engine.protocol import RunFailed, RunFinished, RunStopped, SpecError
from engine.ranks import Ranks
from engine.rundir import RunDir
from engine.rundir.event_log import EventLog, SilentLog
from engine.rundir.life import every
from engine.rundir.lock import held
from engine.rundir.monitor import NO_MONITOR, Monitor
from engine.stop_request import StopRequest, StopRequested
from engine.train import explain_out_of_memory, fine_tune, load_last

STOP_POLL_S: Final = 1.0
JOB: Final = "SLURM_JOB_ID"


def main() -> int:
    """Train as one of several ranks; return the exit code."""
    exit_with_parent(int(os.environ[AGENT_PID]))
    if JOB not in os.environ:  # only the agent sends it, when another rank has failed
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    keep_freed_memory()
    run_dir = RunDir(Path(sys.argv[1]))
    exchange = Exchange(run_dir.ranks)
    ranks = _ranks()
    with contextlib.ExitStack() as stack:
        log: EventLog = SilentLog()
        try:
            if ranks.is_first:
                # Held until this process ends, which may be after its launcher.
                stack.enter_context(held(run_dir.writer_lock, patience_s=0))
                log = EventLog(run_dir.events)
            outcome = _train(run_dir, exchange, ranks, log)
            log.sync()
            if ranks.is_first:
                exchange.write_end(outcome)
        except Exception as error:  # noqa: BLE001 - process edge: always reported
            failed = _describe(error, run_dir, ranks)
            try:
                exchange.write_failure(str(ranks.rank), failed, is_echo=_is_echo(error))
            except OSError:  # the disk is full: use the reserved space
                log.free_reserve()
                exchange.write_failure(str(ranks.rank), failed, is_echo=_is_echo(error))
            return 1
    return 0


def _ranks() -> Ranks:
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    return Ranks(*(int(os.environ[name]) for name in names))


def _train(
    run_dir: RunDir, exchange: Exchange, ranks: Ranks, log: EventLog
) -> RunFinished | RunStopped:
    began = time.perf_counter()
    spec = run_dir.read_spec()
    device = resolve_device(spec.device, ranks.local_rank)
    stop = StopRequest()
    # Only the first rank listens; it records the end and its reason.
    listening = _listening(exchange, stop) if ranks.is_first else contextlib.nullcontext()
    with joined(ranks, exchange, device), listening:
        if device.type == "cuda":
            _check_alike(device, ranks)
        data = load_with_outliers(spec, run_dir.cache)
        checkpoint = load_last(run_dir.last_checkpoint)
        monitor: Monitor = NO_MONITOR
        if ranks.is_first:
            step = 0 if checkpoint is None else checkpoint.state.step
            monitor = Monitor(log, run_dir.path, step=step)
        try:
            with explain_out_of_memory(spec, data, run_dir, stop, ranks):
                return fine_tune(spec, data, run_dir, checkpoint, log, stop, ranks, began, monitor)
        except StopRequested:
            return RunStopped(step=0, reason=stop.reason, wall_s=0.0)


def _check_alike(device: torch.device, ranks: Ranks) -> None:
    """Check that all GPUs are of one model, so that they draw the same masks.

    Raises:
        InputError: if not, on all ranks.
    """
    name = device_name(device)
    of_first = ranks.from_first(lambda: name, str)
    if ranks.any_rank(name != of_first):
        raise InputError(
            f"The run's GPUs are of different models: {of_first} and others. Select GPUs of one "
            "model with CUDA_VISIBLE_DEVICES."
        )


@contextlib.contextmanager
def _listening(exchange: Exchange, stop: StopRequest) -> Iterator[None]:
    """Check for the launcher's stop request during the block."""

    def listen() -> None:
        reason = exchange.read_stop()
        if reason is not None:
            stop.ask(reason)

    with every(STOP_POLL_S, listen, "stop"):
        yield


def _describe(error: Exception, run_dir: RunDir, ranks: Ranks) -> RunFailed:
    """Return the event of an error; errors that the user can fix do not name the rank."""
    failed = describe_failure(error, run_dir)
    if isinstance(error, InputError | SpecError | TrainingError | OSError):
        return failed
    where = f"Rank {ranks.rank} of {ranks.size} on {socket.gethostname()}"
    return msgspec.structs.replace(failed, message=f"{where}: {failed.message}")


def _is_echo(error: Exception) -> bool:
    """Return whether an error is only that another rank stopped responding."""
    if isinstance(error, dist.DistError):
        return True
    signs = ("gloo", "Connection closed by peer", "Connection reset by peer", "NCCL")
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # do not wait for collectives that other ranks will not join
