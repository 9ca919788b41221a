"""Measure commands on very large homes: a run of millions of events, and very many run folders.

    python benchmarks/large_home.py [--events 5000000] [--folders 200000]

Each command runs in a process of its own. Prints its time and its peak memory, and the longest that
another process, which writes to the database all the time, was blocked. A rebuild of a quarter, a
half and all of the folders shows how its time grows.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.filled_home import (
    FIRST_AT,
    accuracy_at,
    evaluation,
    events,
    run_id,
    write_finished_run,
)
from engine.machine.processor import cpu_name, usable_cores
from engine.protocol import RunFinished, RunSpec, StepsTaken, encode_event, resolve_spec
from engine.rundir import RunDir
from vld_tui.home import Home, open_home
from vld_tui.store.store import Store

EVALUATED_EVERY = 10_000
"""Steps between evaluations of the long run."""
ASKED_EVERY_S = 0.005


class Taken(NamedTuple):
    """Cost of a command: wall-clock and processor seconds, peak MiB of the command itself, and
    the longest that another writer was blocked (s)."""

    seconds: float
    cpu_seconds: float
    mebibytes: float
    waited: float


def main() -> None:
    """Print the machine and the cost of each command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=5_000_000, help="events of the long run")
    parser.add_argument("--folders", type=int, default=200_000, help="run folders")
    asked = parser.parse_args()
    print(f"{cpu_name()}, {usable_cores()} cores")
    if asked.events:
        with tempfile.TemporaryDirectory(prefix="vld-bench-") as folder:
            measure_long_run(open_home(Path(folder) / "home"), asked.events)
    if asked.folders:
        with tempfile.TemporaryDirectory(prefix="vld-bench-") as folder:
            measure_folders(open_home(Path(folder) / "home"), asked.folders)


def measure_long_run(home: Home, count: int) -> None:
    """Print the cost of commands on a run with ``count`` events."""
    run_dir = home.run_dir(run_id(0))
    write_finished_run(run_dir, 0)
    write_events(run_dir, count)
    size = run_dir.events.stat().st_size / 2**20
    print(f"one run of {count:,} events, {size:,.0f} MiB")
    Store.open(home).close()
    for words in (
        ["rebuild"], ["logs", "-n", "5", run_id(0)], ["show", run_id(0)],
        ["show", "--json", run_id(0)], ["curve", run_id(0)], ["ls"],
    ):  # fmt: skip
        print_cost(words, command(home, words))


def measure_folders(home: Home, count: int) -> None:
    """Print the cost of commands on ``count`` run folders."""
    made = 0
    for share in (count // 4, count // 2, count):
        for index in range(made, share):
            write_finished_run(home.run_dir(run_id(index)), index)
        made = share
        for path in home.path.glob("vld.db*"):
            path.unlink()
        Store.open(home).close()
        print_cost(["rebuild"], command(home, ["rebuild"]), f"of {share:,} run folders")
    for words in (["rebuild"], ["doctor"], ["prune", "--dry-run"], ["ls", "--limit", "20"]):
        print_cost(words, command(home, words), f"of {count:,} run folders")


def write_events(run_dir: RunDir, count: int) -> None:
    """Write a log of ``count`` events."""
    steps = max(1, count - 5 - 3 * (count // EVALUATED_EVERY))
    spec: RunSpec = resolve_spec({"steps": steps})
    seq = 0
    with run_dir.events.open("wb", buffering=2**20) as file:

        def put(event: msgspec.Struct) -> None:
            nonlocal seq
            numbered = msgspec.structs.replace(event, seq=seq, time=FIRST_AT + seq / 100)
            file.write(encode_event(numbered))  # type: ignore[arg-type]
            seq += 1

        for event in events(spec, 0)[:3]:
            put(event)
        for step in range(1, steps + 1):
            put(
                StepsTaken(
                    step=step, loss=2 - step / steps, lr=1e-3, head_lr=1e-4, steps_per_s=1.87,
                    images_per_s=89.8, elapsed_s=step / 1.87, seconds_left=(steps - step) / 1.87,
                )
            )  # fmt: skip
            if step % EVALUATED_EVERY == 0:
                for event in evaluation(step, 0):
                    put(event)
        put(
            RunFinished(
                step=steps, selected_step=EVALUATED_EVERY, id_accuracy=accuracy_at(300, 0),
                ood_accuracy=0.5, wall_s=steps / 1.87, peak_memory_bytes=900_000_000,
            )
        )  # fmt: skip


def command(home: Home, words: list[str]) -> Taken:
    """Run a command while another thread writes to the database all the time."""
    over, waited = threading.Event(), [0.0]
    writer = threading.Thread(target=write_on, args=(home, over, waited))
    writer.start()
    arguments = [sys.executable, "-m", "vld_tui.cli", "--home", str(home.path), *words]
    started = time.perf_counter()
    with open(os.devnull, "wb") as nowhere:
        actions = [(os.POSIX_SPAWN_DUP2, nowhere.fileno(), 1)]
        child = os.posix_spawn(arguments[0], arguments, os.environ, file_actions=actions)
        mebibytes = 0.0
        while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            mebibytes = max(mebibytes, most_memory(child))
            time.sleep(ASKED_EVERY_S)
        _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - started
    over.set()
    writer.join()
    if os.waitstatus_to_exitcode(status) not in (0, 1):  # doctor may find something
        raise SystemExit(f"{' '.join(words)} ended with {os.waitstatus_to_exitcode(status)}")
    return Taken(seconds, usage.ru_utime + usage.ru_stime, mebibytes, waited[0])


def most_memory(process: int) -> float:
    """Return the peak memory (MiB) of a process so far, without its children."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0.0
    lines = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(lines[0].split()[1]) / 2**10 if lines else 0.0


def write_on(home: Home, over: threading.Event, waited: list[float]) -> None:
    """Write to the database repeatedly, and record the longest wait."""
    with closing(sqlite3.connect(home.database, isolation_level=None, timeout=600)) as connection:
        while not over.wait(ASKED_EVERY_S):
            started = time.perf_counter()
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT OR REPLACE INTO settings VALUES ('bench', '1')")
            connection.execute("COMMIT")
            waited[0] = max(waited[0], time.perf_counter() - started)


def print_cost(words: list[str], taken: Taken, about: str = "") -> None:
    """Print the cost of a command."""
    shown = " ".join(["vld", *words])
    print(
        f"{shown:<36} {taken.seconds:7.2f} s ({taken.cpu_seconds:7.2f} s processor) "
        f"{taken.mebibytes:5.0f} MiB, "
        f"others blocked {taken.waited:6.3f} s  {about}",
        flush=True,
    )


if __name__ == "__main__":
    main()
