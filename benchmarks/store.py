"""Measure the history with many runs: reading folders, listing, filtering, ``vld ls``, Python.

    python benchmarks/store.py [--runs 10000]

Fills a temporary home with finished runs of 300 steps, reads them with ``rebuild``, and times the
commands that users wait for. Times are the best of several.
"""

from __future__ import annotations

import argparse
import functools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import vld_tui
from benchmarks.filled_home import run_id, write_finished_run
from vld_tui.home import open_home
from vld_tui.store.query import Query
from vld_tui.store.store import Store

REPEATS = 5
IMPORT = (
    "import time; start = time.perf_counter(); import vld_tui; print(time.perf_counter() - start)"
)


def main() -> None:
    """Fill a home and print the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000, help="runs in the home")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        home = open_home(Path(folder))
        for index in range(runs):
            write_finished_run(home.run_dir(run_id(index)), index)
        with Store.open(home) as store:
            started = time.perf_counter()
            report = store.folders.rebuild()
            rebuild_s = time.perf_counter() - started
            points = store.health()["metric_points"]
            print(f"rebuild            {rebuild_s:8.2f} s   {report.runs} runs, {points} points")
            print(f"runs.find          {best_ms(store.runs.find):8.1f} ms")
            query = Query.parse("dropout>=0.9 dataset=emoji ood>50%", sort="-ood")
            print(f"runs.find, query   {best_ms(lambda: store.runs.find(query)):8.1f} ms")
            print(f"refresh            {best_ms(store.live.refresh):8.2f} ms")
            print(f"get by name        {best_ms(lambda: store.runs.get('run-7')):8.2f} ms")
        print(f"database           {home.database.stat().st_size / 2**20:8.1f} MiB")
        listing = functools.partial(vld_tui.runs, home=home.path)
        print(f"vld_tui.runs()     {best_ms(listing):8.1f} ms")
        print(f"import vld_tui     {import_ms():8.1f} ms")
        for arguments in (["ls"], ["ls", "--json"], ["--help"]):
            command = [sys.executable, "-m", "vld_tui.cli", "--home", folder, *arguments]
            shown_ms = best_ms(functools.partial(output, command))
            print(f"vld {' '.join(arguments):<14} {shown_ms:8.1f} ms")


def best_ms(action: Callable[[], object]) -> float:
    """Return the shortest time of several calls, in milliseconds."""
    times_s = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        action()
        times_s.append(time.perf_counter() - started)
    return min(times_s) * 1000


def import_ms() -> float:
    """Return the shortest time of several new processes to import the package, in milliseconds."""
    command = [sys.executable, "-c", IMPORT]
    return min(float(output(command)) for _ in range(REPEATS)) * 1000


def output(command: list[str]) -> bytes:
    """Run a command and return what it printed."""
    return subprocess.run(command, check=True, capture_output=True).stdout


if __name__ == "__main__":
    main()
