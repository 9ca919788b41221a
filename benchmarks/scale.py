"""Measure the load of runs on a shared disk, and of a large history, for docs/scale.md.

    python benchmarks/scale.py [--runs 100000] [--live 200] [--jobs 1000]

Needs strace. Traces a real engine twice, with few and with many evaluations, and counts its
operations on names and attributes below the home. Then lists and refreshes a home of simulated
runs, some of them running on other hosts and some queued as jobs (a stand-in replaces squeue).
"""

from __future__ import annotations

import argparse
import functools
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks.filled_home import fill, run_id
from engine.machine.processor import cpu_name, usable_cores
from engine.protocol import resolve_spec
from engine.rundir import JobInfo, ProcessInfo, RunDir, UserData, write_atomic
from engine.rundir.life import HEARTBEAT_INTERVAL_S
from tests.small_runs import SMALL_RUN, unpack_small_emoji
from vld_tui.home import Home, open_home
from vld_tui.launch.slurm.jobs import look_at_jobs
from vld_tui.store.store import Store

CALLS = (
    "openat,rename,renameat,renameat2,unlink,unlinkat,mkdir,newfstatat,stat,statx,access,"
    "faccessat2,utimensat,fsync,fdatasync,getdents64,write,pwrite64"
)
DATA = ("write", "pwrite64")
REGULAR = ("heartbeat", "stop.json")
"""Files used periodically, not by step."""
EVALUATIONS = (2, 12)


def main() -> None:
    """Print the machine and every constant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000, help="runs in the history")
    parser.add_argument("--live", type=int, default=200, help="number of them on other hosts")
    parser.add_argument("--jobs", type=int, default=1_000, help="number of them queued as jobs")
    asked = parser.parse_args()
    print(f"{cpu_name()}, {usable_cores()} cores")
    with tempfile.TemporaryDirectory(prefix="vld-bench-") as folder:
        measure_engine(Path(folder))
    with tempfile.TemporaryDirectory(prefix="vld-bench-") as folder:
        measure_history(Path(folder), asked.runs, asked.live, asked.jobs)


def measure_engine(folder: Path) -> None:
    """Print the operations of a run, of an evaluation, and per second."""
    unpack_small_emoji(folder / "images")
    trace(folder, "warm", 1)  # creates the caches
    few, many = (trace(folder, f"of-{count}", count) for count in EVALUATIONS)
    more = EVALUATIONS[1] - EVALUATIONS[0]
    of_evaluation = (names(many) - names(few)) / more
    print(
        f"operations on names, per run           {names(few) - EVALUATIONS[0] * of_evaluation:7.0f}"
    )
    print(f"operations on names, per evaluation    {of_evaluation:7.1f}")
    print(f"writes, per evaluation                 {(data(many) - data(few)) / more:7.1f}")
    per_beat = sum(many[call, True] for call in {call for call, _ in many}) / many_beats(many)
    print(f"periodic operations, per second        {per_beat / HEARTBEAT_INTERVAL_S:7.2f}")


def trace(folder: Path, name: str, evaluations: int) -> Counter[tuple[str, bool]]:
    """Run an engine, and count its calls below the home, periodic and other."""
    run_dir = RunDir(folder / "home" / "runs" / name)
    values = {"data_dir": str(folder / "images"), "dataset": "small", "head_steps": 0}
    steps = {"steps": 4 * evaluations, "eval_every": 4, "log_every": 4}
    spec = resolve_spec({**SMALL_RUN, **values, **steps})
    run_dir.create(spec, UserData(name=name, created_at=time.time()))
    log = folder / f"{name}.trace"
    command = [
        "strace", "-f", "-qq", "-y", "--seccomp-bpf", "-e", f"trace={CALLS}", "-o", str(log),
        sys.executable, "-m", "engine", str(run_dir.path),
    ]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    home = str(folder / "home")
    counts: Counter[tuple[str, bool]] = Counter()
    for line in log.read_text(errors="replace").splitlines():
        found = re.match(r"\d+ +(\w+)\(", line)
        if found and home in line:
            counts[found[1], any(f"/{each}" in line for each in REGULAR)] += 1
    return counts


def many_beats(counts: Counter[tuple[str, bool]]) -> int:
    """Return the number of heartbeats."""
    return max(1, counts["utimensat", True])


def names(counts: Counter[tuple[str, bool]]) -> int:
    """Return the operations that are neither periodic nor on data."""
    return sum(
        count for (call, is_regular), count in counts.items() if not is_regular and call not in DATA
    )


def data(counts: Counter[tuple[str, bool]]) -> int:
    """Return the writes."""
    return sum(counts[call, False] for call in DATA)


def measure_history(folder: Path, runs: int, live: int, jobs: int) -> None:
    """Print the time of commands on a large history."""
    home = open_home(folder / "home")
    fill(home, runs)
    print(f"history of                             {runs:7,} runs, {_mib(home):,.0f} MiB")
    programs = stand_in_for_squeue(folder, jobs)
    with Store.open(home) as store:
        begin(store, live)
        submit(store, jobs)
        _print_time(f"one look at {jobs:,} queued jobs", _median(lambda: look_at_jobs(store)))
    looked = _median(functools.partial(_refresh, home))
    _print_time(f"one look at {live:,} runs on other hosts", looked)
    environment = {**os.environ, "PATH": programs, "VLD_HOME": str(home.path)}
    for words in (["ls", "--limit", "20"], ["ls", "--where", "dropout>0.5", "--limit", "20"]):
        _print_time(" ".join(["vld", *words]), _median(functools.partial(_vld, words, environment)))


def stand_in_for_squeue(folder: Path, jobs: int) -> str:
    """Create a squeue that lists the jobs; return a search path that starts with it."""
    programs = folder / "programs"
    programs.mkdir()
    lines = "".join(f"7_{index}|PENDING|Priority|\n" for index in range(jobs))
    (folder / "jobs").write_text(lines)
    for name, text in (
        ("squeue", f"exec cat {folder / 'jobs'}"),
        ("sbatch", "exit 1"),
        ("scontrol", "exit 0"),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"
    return os.environ["PATH"]


def begin(store: Store, count: int) -> None:
    """Create runs that run on other hosts."""
    spec = resolve_spec({})
    for run in store.runs.create_many([spec] * count):
        run_dir = store.runs.run_dir(run)
        process = ProcessInfo(pid=1, started_at=time.time(), host="elsewhere")
        write_atomic(run_dir.process, msgspec.json.encode(process))
        pattern = store.runs.run_dir(run_id(0)).events.read_bytes().splitlines(keepends=True)[:-1]
        run_dir.events.write_bytes(b"".join(pattern))
        run_dir.heartbeat.touch()
    store.live.refresh()


def submit(store: Store, count: int) -> None:
    """Create runs that are queued as jobs."""
    runs = store.runs.create_many([resolve_spec({})] * count)
    now = time.time()
    store.jobs.mark_submitted({run: JobInfo(f"7_{n}", now, "/log") for n, run in enumerate(runs)})


def _refresh(home: Home) -> None:
    with Store.open(home) as store:  # a new store has not looked at them yet
        store.live.refresh()


def _print_time(what: str, seconds: float) -> None:
    print(f"{what:<45} {seconds:7.3f} s")


def _vld(words: list[str], environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "vld_tui.cli", *words]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)


def _median(action: Callable[[], object], times: int = 5) -> float:
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def _mib(home: Home) -> float:
    return home.database.stat().st_size / 2**20


if __name__ == "__main__":
    main()
