"""Measure time and memory of a report: ``paper-fig3``, 1,152 runs on four data sets.

    python benchmarks/report.py [--study paper-fig3] [--keep DIR]

Fills a home with runs of simulated accuracies, each with two additional arms, then runs the real
``vld report`` on it.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.filled_study import fill_study
from vld_tui.home import open_home
from vld_tui.study.define.files import find_text, keep_study

MOST_S, MOST_GIB = 10.0, 1.0


def main() -> None:
    """Print time and memory with their targets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", default="paper-fig3", help="a preset")
    parser.add_argument("--keep", type=Path, help="folder of the home, kept afterwards")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vld-bench-") as folder:
        home = open_home(arguments.keep or Path(folder) / "home")
        text = find_text(home, arguments.study)
        study = text.read(home)
        if not home.studies.exists():
            fill_study(home, study)
            keep_study(home, study, text)
        command = Path(sys.executable).with_name("vld")
        started = time.perf_counter()
        subprocess.run(
            [command, "report", study.name, "--home", home.path],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        took_s = time.perf_counter() - started
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    gibibytes = usage.ru_maxrss / 2**20
    busy_s = usage.ru_utime + usage.ru_stime
    print(f"report on {len(study.specs):,} runs   {took_s:6.1f} s    (< {MOST_S:.0f})")
    print(f"  processor time          {busy_s:6.1f} s")
    print(f"  peak memory             {gibibytes:6.2f} GiB  (< {MOST_GIB:.0f})")


if __name__ == "__main__":
    main()
