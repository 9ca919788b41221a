"""Start and monitor the ranks of a run on one machine.

It opens no ports and restarts nothing: a run resumes from its checkpoint in a new attempt.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from engine.distributed.exchange import Exchange
from engine.failures import describe_failure
from engine.protocol import RunFailed
from engine.rundir import RunDir
from engine.rundir.life import HEARTBEAT_STALE_S, exit_cause

AGENT_PID: Final = "VLD_AGENT_PID"
"""Environment variable with the pid of the agent, whose end also ends the rank."""
RANK_COMMAND: Final = (
    sys.executable, "-P", "-X", "faulthandler", "-m", "engine.distributed.worker",
)  # fmt: skip
POLL_S: Final = 0.1
SETTLE_S: Final = 3.0
"""How long ranks may run after another rank failed; most notice and report it themselves."""
_PR_SET_PDEATHSIG: Final = 1
_PARENT_POLL_S: Final = 0.5
_HEARTBEAT_POLL_S: Final = 5.0
HEARTBEAT_PATIENCE_S: Final = 3 * HEARTBEAT_STALE_S
"""A shared disk may show a heartbeat a minute late."""


def main(arguments: list[str] | None = None) -> int:
    """Start the ranks, wait for them, and report those that died without reporting an error."""
    parser = argparse.ArgumentParser(prog="python -m engine.distributed.agent", description=__doc__)
    parser.add_argument("run_dir", metavar="RUN_DIR", type=Path, help="run folder")
    parser.add_argument("--ranks", type=int, required=True, help="ranks per machine")
    parser.add_argument("--parent", type=int, help="pid of the launcher; the agent ends with it")
    parser.add_argument("--nodes", type=int, default=1, help="number of machines (default: 1)")
    given = parser.parse_args(arguments)
    run_dir = RunDir(given.run_dir)
    if given.parent is not None:
        exit_with_parent(given.parent)
    else:
        exit_with_heartbeat(run_dir)
    # A cluster's scheduler signals every process of a job. The launcher handles the signal and has
    # the ranks save; this process and the ranks ignore it (see engine.distributed.worker).
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    exchange = Exchange(run_dir.ranks)
    ranks: dict[int, subprocess.Popen[bytes]] = {}
    try:
        first = given.ranks * claim_number(exchange.folder, given.nodes)
        for local in range(given.ranks):
            variables = _rank_variables(first, local, given.ranks, given.nodes)
            ranks[first + local] = _start(run_dir, variables)
        return _watch(ranks, exchange)
    except Exception as error:  # noqa: BLE001 - process edge: always reported
        who = f"agent-{socket.gethostname()}"
        exchange.write_failure(who, describe_failure(error, run_dir))
        return 1
    finally:
        for process in ranks.values():
            process.kill()


def _rank_variables(first: int, local: int, on_each: int, machines: int) -> dict[str, str]:
    """Return the environment variables of a rank, with torchrun's names."""
    return {
        "RANK": str(first + local),
        "WORLD_SIZE": str(on_each * machines),
        "LOCAL_RANK": str(local),
        "LOCAL_WORLD_SIZE": str(on_each),
    }


def _start(run_dir: RunDir, variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
    environment = {**os.environ, AGENT_PID: str(os.getpid()), **variables}
    return subprocess.Popen([*RANK_COMMAND, str(run_dir.path)], env=environment)


def _watch(ranks: Mapping[int, subprocess.Popen[bytes]], exchange: Exchange) -> int:
    """Wait until all ranks have ended, or one has failed; return 1 in that case, else 0."""
    running = dict(ranks)
    failed_at: float | None = None
    while running:
        for rank, process in [*running.items()]:
            code = process.poll()
            if code is None:
                continue
            del running[rank]
            if code != 0:
                failed_at = failed_at or time.monotonic()
                _report_death(exchange, rank, code)
        if failed_at is not None and time.monotonic() - failed_at > SETTLE_S:
            break
        time.sleep(POLL_S)
    return 0 if failed_at is None else 1


def _report_death(exchange: Exchange, rank: int, code: int) -> None:
    """Report how a rank ended, unless it reported an error itself."""
    if exchange.has_failure(str(rank)):
        return
    how = f"was {exit_cause(code)}" if code < 0 else f"ended with exit code {code}"
    message = f"Rank {rank} on {socket.gethostname()} {how}."
    exchange.write_failure(
        str(rank),
        RunFailed(error="RankDied", message=message, traceback="", step=None, refused=False),
    )


def exit_with_parent(parent_pid: int) -> None:
    """Kill this process when its parent ends, by the kernel (Linux) or by polling.

    Call it first, from the main thread. The parent must have started this process from its main
    thread, because the kernel reacts to the end of that thread.
    """
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(
            target=_watch_parent, args=(parent_pid,), name="parent", daemon=True
        ).start()
    if os.getppid() != parent_pid:  # it ended before the call above
        os._exit(1)


def exit_with_heartbeat(run_dir: RunDir) -> None:
    """End this process when the heartbeat of the run's launcher, on any machine, stops."""
    threading.Thread(target=_watch_heartbeat, args=(run_dir,), name="parent", daemon=True).start()


def _watch_heartbeat(run_dir: RunDir) -> None:
    """Wait until the heartbeat stops changing, measured by this machine's clock."""
    last, changed_at = _last_beat(run_dir), time.monotonic()
    while time.monotonic() - changed_at < HEARTBEAT_PATIENCE_S:
        time.sleep(_HEARTBEAT_POLL_S)
        if (beat := _last_beat(run_dir)) != last:
            last, changed_at = beat, time.monotonic()
    os._exit(1)


def _last_beat(run_dir: RunDir) -> float:
    """Return the heartbeat's modification time; 0: missing."""
    try:
        return run_dir.heartbeat.stat().st_mtime
    except OSError:
        return 0.0


def _watch_parent(parent_pid: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(_PARENT_POLL_S)
    os._exit(1)


def machines_of_job(environment: Mapping[str, str] = os.environ) -> int:
    """Return the number of machines of this process's Slurm job; 1 outside of a job."""
    return _number(environment, "SLURM_JOB_NUM_NODES", 1)


def on_each_machine(nodes: int, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the command prefix that starts a command once on each machine of the job."""
    words = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    words += ["--kill-on-bad-exit=1"]  # other ranks may be waiting for the failed one
    cores = environment.get("SLURM_CPUS_PER_TASK")  # not inherited by srun since Slurm 22.05
    return [*words, f"--cpus-per-task={cores}"] if cores else words


def claim_number(folder: Path, nodes: int, environment: Mapping[str, str] = os.environ) -> int:
    """Claim a number for this machine, from 0; Slurm's task number if it is free.

    Args:
        folder: folder shared by the machines.
        nodes: number of machines.
        environment: of this process.

    Raises:
        FileExistsError: if all numbers are taken.
    """
    if nodes == 1:
        return 0
    by_slurm = _number(environment, "SLURM_PROCID", 0)
    for number in sorted(range(nodes), key=lambda each: each != by_slurm):
        try:
            (folder / f"machine-{number}").touch(exist_ok=False)
        except FileExistsError:
            continue
        return number
    raise FileExistsError(f"More than {nodes} machines joined the run.")


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    try:
        return int(environment.get(name, default))
    except ValueError:
        return default


if __name__ == "__main__":
    sys.exit(main())
