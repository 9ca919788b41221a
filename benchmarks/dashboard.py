"""Measure the speed of the dashboard as a user sees it, in a terminal of 120 × 40, and the bytes
that it sends, in one of 200 × 50.

    python benchmarks/dashboard.py [--starts 5] [--only start,keys,bytes,chart,open]

Runs the real ``vld-tui`` in a pseudo-terminal on temporary homes. Prints medians, and the 95th
percentile for keys. Needs ``pyte``, which reads the screen.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
import psutil
import pyte

from benchmarks.filled_home import fill, run_id, write_long_run
from benchmarks.live_runs import live_runs
from benchmarks.terminal import COLUMNS, LINES, Terminal
from vld_tui.dashboard.feed import HistorySource, Interest
from vld_tui.home import Home, open_home
from vld_tui.store.store import Store
from vld_tui.views.plot import Plot, PlotSeries

SIZES: Final = (0, 10_000, 100_000)
LIVE_RUNS: Final = 8
KEYS: Final = "jj kj kjjj kkkkkkk" * 6
"""``space`` moves down too; all keys together return to the first line."""
KEY_PAUSE_S: Final = 0.13
WIDE_COLUMNS, WIDE_LINES = 200, 50
STEP_PAUSE_S: Final = 0.1
"""Time between cursor steps of a user who holds a key, on a slow line."""
STEPS_AT_ONCE, STEP_ROUNDS = 8, 4
HEADING_LINE: Final = 2
QUIET_S: Final = 0.4
IDLE_S: Final = 20.0
SETTLE_S: Final = 2.0
CHART_SERIES, CHART_POINTS, CHART_FRAMES = 5, 100_000, 30
A_RUN, WELCOME = rb"run-\d", rb"No runs yet"


def main() -> None:
    """Print each measurement with its target; processor times are comparable on a busy machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=5, help="number of starts per median")
    parser.add_argument("--only", default="", help="measurements, separated by commas")
    arguments = parser.parse_args()
    chosen = (
        arguments.only.split(",") if arguments.only else ["start", "chart", "keys", "bytes", "open"]
    )
    with tempfile.TemporaryDirectory(prefix="vld-bench-") as folder:
        if "chart" in chosen:
            print(f"chart, 5 × 100,000 points   {chart_ms():8.1f} ms a frame  (< 16)")
        if "start" in chosen:
            for size, target_ms in zip(SIZES, (450, 800, 900), strict=True):
                measure_size(Path(folder) / f"{size}", size, target_ms, arguments.starts)
        if "keys" in chosen:
            home = open_home(Path(folder) / "live")
            fill(home, 1000)
            median_ms, most_ms = key_ms(home)
            print(f"key to paint, 95th perc.    {most_ms:8.1f} ms  (< 20; median {median_ms:.1f})")
        if "bytes" in chosen:
            home = open_home(Path(folder) / "slow")
            fill(home, 1000)
            moving, resting = sent_kb(home)
            print(f"bytes per cursor step       {moving:8.1f} KB  (< 4)")
            print(f"bytes once it rests         {resting:8.1f} KB")
        if "open" in chosen:
            home = open_home(Path(folder) / "long")
            wall_ms, cpu_ms = open_ms(home, arguments.starts)
            print(f"open 20 metrics × 50,000    {wall_ms:8.1f} ms  (< 300; processor {cpu_ms:.0f})")
            read_ms = statistics.median(reading_ms(home) for _ in range(arguments.starts))
            print(f"  of which reading          {read_ms:8.1f} ms")


def measure_size(path: Path, runs: int, target_ms: int, starts: int) -> None:
    """Print the measurements that depend on the number of runs."""
    home = open_home(path)
    fill(home, runs)
    wall_ms, cpu_ms = medians(first_paint_ms(home, runs) for _ in range(starts))
    print(
        f"first paint, {runs:>7,} runs   {wall_ms:8.0f} ms  (< {target_ms}; "
        f"processor {cpu_ms:.0f})",
        flush=True,
    )
    if runs == SIZES[-1]:
        mebibytes, idle_share = rest(home)
        print(f"memory, {runs:>7,} runs        {mebibytes:8.0f} MiB  (< 250)")
        print(f"idle, {runs:>7,} runs          {idle_share:8.1%} of one core  (< 0.5%)", flush=True)


def open_dashboard(home: Home, columns: int = COLUMNS, lines: int = LINES) -> Terminal:
    """Start ``vld-tui``."""
    command = Path(sys.executable).with_name("vld-tui")
    return Terminal([str(command), "--home", str(home.path)], columns, lines)


def medians(times: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """Return the medians of wall times and of processor times."""
    wall, cpu = zip(*times, strict=True)
    return statistics.median(wall), statistics.median(cpu)


def first_paint_ms(home: Home, runs: int) -> tuple[float, float]:
    """Return wall and processor time until a run, or the welcome, is on the screen."""
    with open_dashboard(home) as terminal:
        shown_at = terminal.wait_for(A_RUN if runs else WELCOME)
        return (shown_at - terminal.started_at) * 1000, terminal.processor_s() * 1000


def rest(home: Home) -> tuple[float, float]:
    """Return the memory of a dashboard after use, and its idle load."""
    with open_dashboard(home) as terminal:
        terminal.wait_for(A_RUN)
        for key in "jjjGg":
            terminal.type(key)
            time.sleep(SETTLE_S / 2)
        time.sleep(SETTLE_S)
        before_s = terminal.processor_s()
        time.sleep(IDLE_S)
        busy_s = terminal.processor_s() - before_s
        memory = psutil.Process(terminal.process.pid).memory_info().rss
        return memory / 2**20, busy_s / IDLE_S


def key_ms(home: Home) -> tuple[float, float]:
    """Return the median and the 95th percentile of the time a key takes to move the cursor."""
    with live_runs(home, LIVE_RUNS), open_dashboard(home) as terminal:
        terminal.wait_for(A_RUN)
        time.sleep(SETTLE_S)
        typed = []
        for key in KEYS:
            typed.append(terminal.type(key))
            time.sleep(KEY_PAUSE_S)
        time.sleep(SETTLE_S)
    lines: list[tuple[float, int | None]] = []
    screen = terminal.replay(lambda at, screen: lines.append((at, _cursor_line(screen))))
    if f"{LIVE_RUNS} running" not in screen.display[0]:
        raise RuntimeError(f"not all runs are running: {screen.display[0]}")
    times_ms = []
    line = HEADING_LINE + 1
    for key, at in zip(KEYS, typed, strict=True):
        line += -1 if key == "k" else 1
        arrived_at = next(moment for moment, lit in lines if moment > at and lit == line)
        times_ms.append((arrived_at - at) * 1000)
    return statistics.median(times_ms), statistics.quantiles(times_ms, n=20)[-1]


def _cursor_line(screen: pyte.Screen) -> int | None:
    """Return the highlighted line of the table."""
    heading = screen.buffer[HEADING_LINE][2].bg
    below = range(HEADING_LINE + 1, LINES - 6)
    return next((y for y in below if screen.buffer[y][2].bg != heading), None)


def sent_kb(home: Home) -> tuple[float, float]:
    """Return the kilobytes that a cursor step sends while the cursor moves, and those that
    follow when it rests."""
    with open_dashboard(home, WIDE_COLUMNS, WIDE_LINES) as terminal:
        terminal.wait_for(A_RUN)
        time.sleep(2 * SETTLE_S)
        moving, resting = [], []
        for _ in range(STEP_ROUNDS):
            began_at = time.perf_counter()
            for _ in range(STEPS_AT_ONCE):
                terminal.type("j")
                time.sleep(STEP_PAUSE_S)
            rests_at = time.perf_counter()
            time.sleep(SETTLE_S)
            moving.append(terminal.bytes_between(began_at, rests_at) / STEPS_AT_ONCE / 1000)
            resting.append(terminal.bytes_between(rests_at) / 1000)
    return statistics.median(moving), statistics.median(resting)


def open_ms(home: Home, starts: int) -> tuple[float, float]:
    """Return wall and processor time from ``enter`` on a long run until its screen is complete."""
    fill(home, 20)
    write_long_run(home.run_dir(run_id(20)), 18)  # the second from above
    with Store.open(home) as store:
        store.folders.rebuild()
    return medians(_open_once_ms(home) for _ in range(starts))


def _open_once_ms(home: Home) -> tuple[float, float]:
    with open_dashboard(home) as terminal:
        terminal.wait_for(A_RUN)
        time.sleep(SETTLE_S)
        before_s = terminal.processor_s()
        typed_at = terminal.type("j\r")
        terminal.wait_for(run_id(20).encode(), typed_at)
        complete_at = terminal.wait_until_quiet(QUIET_S)
        cpu_s = terminal.processor_s() - before_s
        return (complete_at - typed_at) * 1000, cpu_s * 1000


def reading_ms(home: Home) -> float:
    """Return the time the worker takes to read the data of a long run."""
    source = HistorySource(home)
    source.take(Interest())
    started = time.perf_counter()
    source.take(Interest(watched=(run_id(20),), opened=run_id(20)))
    took_ms = (time.perf_counter() - started) * 1000
    source.close()
    return took_ms


def chart_ms() -> float:
    """Return the time to draw a chart of very many points."""
    steps = np.arange(CHART_POINTS, dtype=np.float64)
    noise = np.random.default_rng(0)
    series = [
        PlotSeries(f"run {index}", steps, noise.normal(index, 1.0, CHART_POINTS), "red")
        for index in range(CHART_SERIES)
    ]
    plot = Plot("loss", tuple(series))
    times_ms = []
    for _ in range(CHART_FRAMES):
        started = time.perf_counter()
        for _ in plot.lines(110, 30):
            pass
        times_ms.append((time.perf_counter() - started) * 1000)
    return statistics.median(times_ms)


if __name__ == "__main__":
    main()
