"""Measure recovery of the history, after a crash of the machine and without a database.

    python benchmarks/recovery.py [--runs 10000] [--live 4]

Fills a temporary home with finished runs, some of which have a dead process and no final event. The
database is left as after a power failure, with a write-ahead log to replay. Times ``vld ls``, which
detects the dead runs, and ``vld rebuild`` of a lost database.
"""

from __future__ import annotations

import argparse
import functools
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks.filled_home import run_id, write_finished_run
from engine.machine.processor import cpu_name, usable_cores
from engine.rundir import ProcessInfo, RunDir, write_atomic
from vld_tui.home import Home, open_home
from vld_tui.store.store import Store

PAGES_LOGGED = 900
"""Pages of the write-ahead log: SQLite checkpoints it at 1,000."""
DEAD_PID = 2**22 - 1


def main() -> None:
    """Print the machine and the time of each kind of recovery."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000, help="runs in the home")
    parser.add_argument("--live", type=int, default=4, help="number of them whose process died")
    asked = parser.parse_args()
    print(f"{cpu_name()}, {usable_cores()} cores, {asked.runs:,} runs, {asked.live} of them dead")
    with tempfile.TemporaryDirectory(prefix="vld-bench-") as folder:
        home = open_home(Path(folder))
        for index in range(asked.runs):
            write_finished_run(home.run_dir(run_id(index)), index)
        crash(home, asked.live)
        log_mib = home.database.with_name("vld.db-wal").stat().st_size / 2**20
        print(f"write-ahead log to replay             {log_mib:8.1f} MiB")
        listed = functools.partial(vld, home, "ls", "--limit", "5")
        print(f"first vld ls, detects dead runs       {seconds(listed):8.2f} s")
        print(f"vld ls after it                       {seconds(listed):8.2f} s")
        with Store.open(home) as store:
            died = sum(run.status == "crashed" for run in store.runs.find())
        if died != asked.live:
            raise SystemExit(f"{died} dead runs were found, not {asked.live}.")
        rebuilt = functools.partial(vld, home, "rebuild")
        print(f"vld rebuild, intact database          {seconds(rebuilt):8.2f} s")
        for path in home.path.glob("vld.db*"):
            path.unlink()
        print(f"vld rebuild, lost database            {seconds(rebuilt):8.2f} s")


def crash(home: Home, live: int) -> None:
    """Leave the database as after a power failure during runs."""
    for index in range(live):
        cut_short(home.run_dir(run_id(index)))
    with Store.open(home) as store:
        store.folders.rebuild()
    with Store.open(home) as store:
        store.runs.find()
        log = home.database.with_name("vld.db-wal")
        number = 0
        while not log.exists() or log.stat().st_size < PAGES_LOGGED * 4096:
            store.labels.set_note(run_id(number % 1000), f"note {number}")
            number += 1
        kept = [(path, path.read_bytes()) for path in home.path.glob("vld.db*")]
    for path, content in kept:
        path.write_bytes(content)
    home.database.with_name("vld.db-shm").unlink(missing_ok=True)
    dead = ProcessInfo(pid=DEAD_PID, started_at=time.time(), host=socket.gethostname())
    for index in range(live):
        run_dir = home.run_dir(run_id(index))
        write_atomic(run_dir.process, msgspec.json.encode(dead))
        with run_dir.events.open("ab") as file:
            file.write(b'{"type":"run_')  # the last line is torn


def cut_short(run_dir: RunDir) -> None:
    """Cut off the end of a run's log, and record this process as the run's."""
    lines = run_dir.events.read_bytes().splitlines(keepends=True)
    run_dir.events.write_bytes(b"".join(lines[: len(lines) // 2]))
    run_dir.write_process(os.getpid())


def vld(home: Home, *arguments: str) -> None:
    """Run a command of the interface."""
    command = [sys.executable, "-m", "vld_tui.cli", "--home", str(home.path), *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def seconds(action: Callable[[], object]) -> float:
    """Return how long an action takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
