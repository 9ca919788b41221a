"""``python -m engine.distributed.agent RUN_DIR …``: start the ranks of one machine and watch them.

It is torchrun's own agent, without restarts: a run goes on from its checkpoint in a new attempt.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from engine.distributed.exchange import Exchange
from engine.distributed.parent import end_with, end_with_heartbeat
from engine.failures import describe_failure
from engine.protocol import RunFailed
from engine.rundir import RunDir
from engine.rundir.life import exit_cause

AGENT_PID: Final = "VLD_AGENT_PID"
"""Environment variable that tells a rank which process it ends with."""
HERE: Final = "127.0.0.1"


def main(arguments: list[str] | None = None) -> int:
    """Start the ranks, wait for them, and tell of those that died without a word."""
    parser = argparse.ArgumentParser(prog="python -m engine.distributed.agent", description=__doc__)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--ranks", type=int, required=True, help="on each machine")
    parser.add_argument("--parent", type=int, help="process to end with")
    parser.add_argument("--nodes", type=int, default=1, help="machines")
    parser.add_argument("--meet-at", default="", metavar="HOST:PORT", help="of the first machine")
    parser.add_argument("--meeting", default="", help="name of this attempt, on every machine")
    given = parser.parse_args(arguments)
    run_dir = RunDir(given.run_dir)
    if given.parent is not None:
        end_with(given.parent)
    else:
        end_with_heartbeat(run_dir)
    os.environ[AGENT_PID] = str(os.getpid())
    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)  # we tell ourselves
    exchange = Exchange(run_dir.ranks)
    is_alone = given.nodes == 1
    config = LaunchConfig(
        min_nodes=given.nodes,
        max_nodes=given.nodes,
        nproc_per_node=given.ranks,
        run_id=given.meeting or uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint=given.meet_at or f"{HERE}:0",
        local_addr=HERE if is_alone else None,
        max_restarts=0,
        logs_specs=DefaultLogsSpecs(log_dir=str(exchange.folder / "torchelastic")),
    )
    command = ["-P", "-X", "faulthandler", "-m", "engine.distributed.worker", str(run_dir.path)]
    try:
        _launch(config, command)
    except ChildFailedError as error:
        _tell_deaths(exchange, error.failures)
        return 1
    except Exception as error:  # noqa: BLE001 - the edge of the process: always reported
        who = f"agent-{socket.gethostname()}"
        exchange.tell_failure(who, describe_failure(error, run_dir))
        return 1
    return 0


def _launch(config: LaunchConfig, command: Sequence[str]) -> None:
    """Start the ranks and wait for them.

    A cluster's scheduler signals every process of a job. The head listens, and has the ranks save:
    this process takes no notice, nor do those it starts (see :mod:`~engine.distributed.worker`).
    torchrun's agent would end them at a signal, unless it works in a thread.

    Raises:
        ChildFailedError: when a rank failed.
    """
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    with ThreadPoolExecutor(1) as threads:
        threads.submit(elastic_launch(config, sys.executable), *command).result()


def _tell_deaths(exchange: Exchange, failures: dict[int, ProcessFailure]) -> None:
    """Tell of the ranks that were killed, but not of those that were ended because of it."""
    for rank, failure in failures.items():  # in the order in which they ended
        if failure.exitcode == -signal.SIGTERM or exchange.has_told(str(rank)):
            continue
        was = "was " if failure.exitcode < 0 else ""
        message = f"Rank {rank} on {socket.gethostname()} {was}{exit_cause(failure.exitcode)}."
        exchange.tell_failure(
            str(rank),
            RunFailed(error="RankDied", message=message, traceback="", step=None, refused=False),
        )


if __name__ == "__main__":
    sys.exit(main())
