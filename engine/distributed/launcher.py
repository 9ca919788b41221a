"""The launcher of a run on several ranks: start them, ask them to stop, report how they ended."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

import torch

from engine.data import RunData
from engine.distributed.agent import machines_of_job, on_each_machine
from engine.distributed.exchange import Exchange
from engine.errors import InputError
from engine.protocol import (
    RunFailed,
    RunFinished,
    RunSpec,
    RunStopped,
    too_few_gpus,
    too_few_images,
    too_few_sources,
)
from engine.protocol.recipes import no_gpu, outside_slurm_job
from engine.rundir import RunDir
from engine.rundir.event_log import EventLog
from engine.rundir.life import exit_cause
from engine.stop_request import StopRequest

POLL_S: Final = 0.1
AGENT_COMMAND: Final = (sys.executable, "-P", "-m", "engine.distributed.agent")


def check_machine(spec: RunSpec) -> None:
    """Check that this machine or job has enough GPUs and nodes.

    Raises:
        InputError: if not; names the numbers.
    """
    if spec.ranks == 1:
        return
    if spec.nodes > 1 and spec.nodes != machines_of_job():
        raise InputError(outside_slurm_job(spec))
    gpus = torch.cuda.device_count()
    if spec.device != "cpu" and gpus == 0:
        raise InputError(no_gpu(spec))
    if problem := too_few_gpus(spec, gpus, os.environ.get("CUDA_VISIBLE_DEVICES")):
        raise InputError(problem)


def check_images(spec: RunSpec, data: RunData) -> None:
    """Check that a step has an image for each rank, and a source for all that are compared.

    Raises:
        InputError: if not; names the numbers.
    """
    sources = len(data.sources)
    if problem := too_few_images(spec, sources) or too_few_sources(spec, sources):
        raise InputError(problem)


def train_on_ranks(
    spec: RunSpec, run_dir: RunDir, log: EventLog, stop: StopRequest
) -> RunFinished | RunStopped | RunFailed:
    """Train on ``spec.ranks`` ranks and return how the run ended.

    The first rank appends to the run's event log meanwhile.

    Raises:
        OSError: if they cannot be started.
    """
    exchange = Exchange(run_dir.ranks)
    exchange.clear()
    with _agent(spec, run_dir) as agent:
        try:
            while agent.poll() is None:
                if stop.requested and exchange.read_stop() is None:
                    exchange.ask_to_stop(stop.reason)
                _wait(agent)
        finally:
            if agent.poll() is None:
                agent.kill()
    log.catch_up()
    end = exchange.read_end() or _unexplained(agent.returncode)
    exchange.remove()
    return end


def _agent(spec: RunSpec, run_dir: RunDir) -> subprocess.Popen[bytes]:
    """Start the agent here, or one on each machine of the job."""
    words = [*AGENT_COMMAND, str(run_dir.path), "--ranks", str(spec.gpus)]
    if spec.nodes == 1:
        words += ["--parent", str(os.getpid())]
    else:
        words = [*on_each_machine(spec.nodes), *words, "--nodes", str(spec.nodes)]
    # In a new session, because a signal to the launcher's group would kill ranks within a step.
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, start_new_session=True)


def _wait(agent: subprocess.Popen[bytes]) -> None:
    try:
        agent.wait(POLL_S)
    except subprocess.TimeoutExpired:
        return


def _unexplained(exit_code: int) -> RunFailed:
    how = f"was {exit_cause(exit_code)}" if exit_code < 0 else f"ended with exit code {exit_code}"
    message = f"The process that starts the ranks {how} without reporting an error."
    return RunFailed(error="AgentDied", message=message, traceback="", step=None, refused=False)
