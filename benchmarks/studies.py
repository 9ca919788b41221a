"""Measure commands on a study of 1,152 runs (paper-fig3).

    python benchmarks/studies.py

Queues all of its runs in an empty home, marks them as finished in the database, and times the
commands that users type. Nothing is trained, and no images are read. A time with a budget is the
fastest of three.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from vld_tui.control.study import launch_missing
from vld_tui.home import Home, open_home
from vld_tui.store.store import Store
from vld_tui.study.define.files import find_study, find_text, keep_study
from vld_tui.study.standing import standing_of

STUDY = "paper-fig3"
REPEATS = 3


def main() -> None:
    """Print the time of each command."""
    with tempfile.TemporaryDirectory() as folder:
        home = open_home(Path(folder) / "home")
        study = find_study(home, STUDY)
        for name in study.absent:
            (home.datasets / name).mkdir()  # its domains are known; images are not needed
        keep_study(home, study, find_text(home, STUDY))
        with Store.open(home) as store:
            begun = time.perf_counter()
            launch_missing(store, standing_of(store, study))
            queued_s = time.perf_counter() - begun
        print(f"queue {len(study.specs):,} runs            {queued_s:6.2f} s  (budget 10 s)")
        _finish_all(home)
        for words, budget_s in (
            (["sweep", STUDY], 3),
            (["sweep", "status", STUDY], 3),
            (["sweep", STUDY, "--dry-run"], 3),
        ):
            taken_s = min(_time(home, words) for _ in range(REPEATS))
            print(f"vld {' '.join(words):<26} {taken_s:6.2f} s  (budget {budget_s} s)")


def _finish_all(home: Home) -> None:
    with closing(sqlite3.connect(home.database)) as connection, connection:
        connection.execute(
            "UPDATE runs SET status = 'finished', queue_position = NULL, step = 10001, "
            "selected_step = 9900, id_accuracy = 0.9, ood_accuracy = 0.5 + (key % 100) / 400.0"
        )


def _time(home: Home, words: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "vld_tui.cli", *words, "--home", str(home.path)],
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
