"""``python -m engine.distributed.agent RUN_DIR …``: start the ranks of one machine and watch them.

It opens no port and restarts nothing: a run resumes from its checkpoint in a new attempt.
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
from engine.distributed.machines import claim_number
from engine.failures import describe_failure
from engine.protocol import RunFailed
from engine.rundir import RunDir
from engine.rundir.life import HEARTBEAT_STALE_S, exit_cause

AGENT_PID: Final = "VLD_AGENT_PID"
"""Environment variable that tells a rank which process it ends with."""
RANK_COMMAND: Final = (
    sys.executable, "-P", "-X", "faulthandler", "-m", "engine.distributed.worker",
)  # fmt: skip
POLL_S: Final = 0.1
SETTLE_S: Final = 3.0
"""How long ranks have to end when another one failed: most notice, and report it themselves."""

_PR_SET_PDEATHSIG: Final = 1
_PARENT_POLL_S: Final = 0.5
_HEART_POLL_S: Final = 5.0
HEARTBEAT_PATIENCE_S: Final = 3 * HEARTBEAT_STALE_S
"""A shared disk may tell of a heartbeat a minute late."""


def main(arguments: list[str] | None = None) -> int:
    """Start the ranks, wait for them, and report those that died without a word."""
    parser = argparse.ArgumentParser(prog="python -m engine.distributed.agent", description=__doc__)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--ranks", type=int, required=True, help="on each machine")
    parser.add_argument("--parent", type=int, help="process to end with")
    parser.add_argument("--nodes", type=int, default=1, help="machines")
    given = parser.parse_args(arguments)
    run_dir = RunDir(given.run_dir)
    if given.parent is not None:
        end_with(given.parent)
    else:
        end_with_heartbeat(run_dir)
    # A cluster's scheduler signals every process of a job. The launcher listens, and has the ranks
    # save: this process ignores it, and so do those it starts (see engine.distributed.worker).
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    exchange = Exchange(run_dir.ranks)
    ranks: dict[int, subprocess.Popen[bytes]] = {}
    try:
        first = given.ranks * claim_number(exchange.folder, given.nodes)
        for local in range(given.ranks):
            place = _place(first, local, given.ranks, given.nodes)
            ranks[first + local] = _start(run_dir, place)
        return _watch(ranks, exchange)
    except Exception as error:  # noqa: BLE001 - the edge of the process: always reported
        who = f"agent-{socket.gethostname()}"
        exchange.tell_failure(who, describe_failure(error, run_dir))
        return 1
    finally:
        for process in ranks.values():
            process.kill()


def _place(first: int, local: int, on_each: int, machines: int) -> dict[str, str]:
    """Return the variables from which a rank knows its place, by torchrun's names."""
    return {
        "RANK": str(first + local),
        "WORLD_SIZE": str(on_each * machines),
        "LOCAL_RANK": str(local),
        "LOCAL_WORLD_SIZE": str(on_each),
    }


def _start(run_dir: RunDir, place: Mapping[str, str]) -> subprocess.Popen[bytes]:
    environment = {**os.environ, AGENT_PID: str(os.getpid()), **place}
    return subprocess.Popen([*RANK_COMMAND, str(run_dir.path)], env=environment)


def _watch(ranks: Mapping[int, subprocess.Popen[bytes]], exchange: Exchange) -> int:
    """Wait until all ranks have ended; return 1 when one failed, which ends the others too."""
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
                _tell_death(exchange, rank, code)
        if failed_at is not None and time.monotonic() - failed_at > SETTLE_S:
            break
        time.sleep(POLL_S)
    return 0 if failed_at is None else 1


def _tell_death(exchange: Exchange, rank: int, code: int) -> None:
    """Report how a rank ended, unless it did so itself."""
    if exchange.has_told(str(rank)):
        return
    was = "was " if code < 0 else ""
    message = f"Rank {rank} on {socket.gethostname()} {was}{exit_cause(code)}."
    exchange.tell_failure(
        str(rank),
        RunFailed(error="RankDied", message=message, traceback="", step=None, refused=False),
    )


def end_with(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent ends; where it cannot, watch for that.

    Call it from the main thread, as the first thing. The process that started this one must have
    done so from its main thread: the kernel takes the end of the thread for the end of all.
    """
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(
            target=_watch_parent, args=(parent_pid,), name="parent", daemon=True
        ).start()
    if os.getppid() != parent_pid:  # it was over before the kernel was told
        os._exit(1)


def end_with_heartbeat(run_dir: RunDir) -> None:
    """End this process when the run's launcher, on any machine, shows no sign of life."""
    threading.Thread(target=_watch_heart, args=(run_dir,), name="parent", daemon=True).start()


def _watch_heart(run_dir: RunDir) -> None:
    """Wait until the heartbeat no longer changes, by this machine's clock: those of two differ."""
    last, changed_at = _last_beat(run_dir), time.monotonic()
    while time.monotonic() - changed_at < HEARTBEAT_PATIENCE_S:
        time.sleep(_HEART_POLL_S)
        if (beat := _last_beat(run_dir)) != last:
            last, changed_at = beat, time.monotonic()
    os._exit(1)


def _last_beat(run_dir: RunDir) -> float:
    """Return when the launcher last touched its heartbeat, as its disk has it; 0: never."""
    try:
        return run_dir.heartbeat.stat().st_mtime
    except OSError:
        return 0.0


def _watch_parent(parent_pid: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(_PARENT_POLL_S)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
