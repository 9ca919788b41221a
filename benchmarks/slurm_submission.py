"""Measure submitting a study of 1,152 runs (paper-fig3) to Slurm, and looking at it then.

    python benchmarks/slurm_submission.py

Starts a Slurm of one node (as root; see tests/slurm) whose partition is down, so that all jobs stay
queued. Nothing is trained, and no images are read.
"""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec

from engine.protocol import RunStarted, StepsTaken
from engine.rundir import ProcessInfo, RunDir, write_atomic
from engine.rundir.event_log import EventLog
from tests.slurm.cluster import Options, Partition, SlurmCluster, why_missing
from vld_tui.control.study import launch
from vld_tui.home import Home, open_home
from vld_tui.launch.slurm.jobs import look_at_jobs
from vld_tui.launch.slurm.settings import SlurmSettings
from vld_tui.launch.slurm.submit import Cluster
from vld_tui.store.store import Store
from vld_tui.study.define.files import find_study, find_text, keep_study

STUDY = "paper-fig3"
ARRAY_SIZES = (1001, 8)
"""Slurm's default MaxArraySize, and that of a cluster without long arrays."""
RUNNING = 100
CALLS = {
    "open": r"openat?\(", "rename": r"rename(at2?)?\(", "fsync": r"f(data)?sync\(",
    "stat": r"(new)?[fl]?stat(at|x|fs)?\(|f?access(at2?)?\(", "mkdir": r"mkdir(at)?\(",
    "unlink": r"unlink(at)?\(", "flock": r"flock\(",
}  # fmt: skip


def main() -> None:
    """Print how long each takes."""
    if reason := why_missing():
        sys.exit(reason)
    for array_size in ARRAY_SIZES:
        options = Options(partitions=(Partition("main", 600),), max_array_size=array_size)
        with (
            tempfile.TemporaryDirectory() as folder,
            SlurmCluster(Path(folder) / "slurm", options) as cluster,
        ):
            cluster.run("scontrol", "update", "PartitionName=main", "State=DOWN")
            os.environ.update(cluster.environment)
            print(f"MaxArraySize {array_size:,}")
            _submit(Path(folder))


def _submit(folder: Path) -> None:
    home, traced = _home(folder / "home"), _home(folder / "traced")
    with Store.open(home) as store:
        study, text = find_study(home, STUDY), find_text(home, STUDY)
        cluster = Cluster(SlurmSettings())
        seconds = _seconds(partial(launch, store, study, text, cluster))
        _print_time(f"create and submit {len(study.specs):,} runs", seconds)
    files = [path for path in home.path.rglob("*") if path.is_file()]
    of_jobs = sum(home.jobs in path.parents for path in files)
    print(f"  files written{len(files):>43,}  ({of_jobs:,} of them in jobs/)")
    submission = ["sweep", STUDY, "--on", "slurm", "--yes"]
    _print_time(f"vld {' '.join(submission)}, again", _seconds(partial(_vld, home, submission)))
    _look(home)
    _refresh(home)
    subprocess.run(["scancel", "--user=root"], check=True)  # the next submission adds as many
    log = folder / "trace"
    _vld(traced, submission, ["strace", "-f", "-y", "-e", "%file,%desc", "-o", str(log)])
    counts = _count(log, traced)
    shown = ", ".join(f"{counts[name]:,} {name}" for name in CALLS)
    print(f"  operations in the home: {shown}")


def _look(home: Home) -> None:
    for words in (["ls", "--json"], ["queue", "ls"], ["sweep", "status", STUDY]):
        _print_time(f"vld {' '.join(words)}", _seconds(partial(_vld, home, words)))
    with Store.open(home) as store:
        _print_time(
            f"look at {len(store.jobs.open()):,} jobs", _seconds(partial(look_at_jobs, store))
        )
        _print_time("the same again", _seconds(partial(look_at_jobs, store)))
        _print_time("refresh, all queued", _seconds(store.live.refresh))


def _refresh(home: Home) -> None:
    """Time the import of new events of runs on other hosts."""
    with Store.open(home) as store:
        run_dirs = [store.runs.run_dir(each.run_id) for each in store.jobs.open()[:RUNNING]]
    with closing(sqlite3.connect(home.database)) as connection, connection:
        connection.executemany(
            "UPDATE runs SET job_state = 'RUNNING', job_node = 'node1' WHERE run_id = ?",
            [(run_dir.run_id,) for run_dir in run_dirs],
        )
    logs = [_begin(run_dir) for run_dir in run_dirs]
    with Store.open(home) as store:
        _print_time(f"refresh, {RUNNING} started", _seconds(store.live.refresh))
        for log in logs:
            log.record(_steps(20))
        _print_time(f"refresh, {RUNNING} with new events", _seconds(store.live.refresh))
        _print_time(f"refresh, {RUNNING} without new events", _seconds(store.live.refresh))


def _begin(run_dir: RunDir) -> EventLog:
    process = ProcessInfo(4321, time.time(), "node1")
    write_atomic(run_dir.process, msgspec.json.encode(process))
    log = EventLog(run_dir.events)
    log.record(
        RunStarted(
            protocol_version=1, attempt=1, pid=process.pid, host=process.host, resumed_step=None,
            versions={}, commit=None,
        )
    )  # fmt: skip
    log.record(_steps(10))
    return log


def _steps(step: int) -> StepsTaken:
    return StepsTaken(
        step=step, loss=1.5, lr=1e-3, head_lr=1e-3, steps_per_s=9.0, images_per_s=900.0,
        elapsed_s=float(step), seconds_left=100.0,
    )  # fmt: skip


def _home(path: Path) -> Home:
    home = open_home(path)
    study = find_study(home, STUDY)
    keep_study(home, study, find_text(home, STUDY))
    for name in study.absent:
        (home.datasets / name).mkdir()  # its domains are known; images are not needed
    return home


def _vld(home: Home, words: Sequence[str], under: Sequence[str] = ()) -> None:
    command = [*under, sys.executable, "-m", "vld_tui.cli", *words, "--home", str(home.path)]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def _count(log: Path, home: Home) -> Counter[str]:
    counts: Counter[str] = Counter()
    with log.open(errors="replace") as lines:
        for line in lines:
            if str(home.path) in line:
                call = line.partition(" ")[2].lstrip()
                counts.update(name for name, form in CALLS.items() if re.match(form, call))
    return counts


def _seconds(do: Callable[[], object]) -> float:
    begun = time.perf_counter()
    do()
    return time.perf_counter() - begun


def _print_time(what: str, seconds: float) -> None:
    print(f"  {what:<46} {seconds:8.2f} s")


if __name__ == "__main__":
    main()
