"""A disk on which every write that must arrive takes its time, and others who hold the database."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from engine.protocol import Evaluated, RunFinished, StepsTaken, resolve_spec
from engine.rundir import RunDir
from tests.small_runs import MakeRun, engine_environment, read_events, run_here
from vld_tui.home import Home, open_home
from vld_tui.store.store import Store

DELAY_S = 0.2
SLOW = (
    "strace", "-f", "-qq", "-o", "/dev/null", "--seccomp-bpf", "-e", "trace=fsync,fdatasync,rename",
    "-e", f"inject=fsync,fdatasync,rename:delay_exit={int(DELAY_S * 1e6)}",
)  # fmt: skip
HOLD_S = 1.0


def _told(run_dir: RunDir) -> list[tuple[int, object]]:
    return [
        (event.step, event.loss if isinstance(event, StepsTaken) else event.metrics)
        for event in read_events(run_dir)
        if isinstance(event, StepsTaken | Evaluated)
    ]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("strace"), reason="there is no strace here")
def test_a_run_on_a_slow_disk_is_the_same_run(make_run: MakeRun) -> None:
    quick, slow = make_run("quick"), make_run("slow")
    run_here(quick)
    started = time.monotonic()
    ended = subprocess.run(
        [*SLOW, sys.executable, "-m", "engine", str(slow.path)],
        capture_output=True, check=False, env=engine_environment(),
    )  # fmt: skip
    if b"ptrace" in ended.stderr.lower() and ended.returncode != 0:
        pytest.skip("processes cannot be traced here")
    assert ended.returncode == 0, ended.stderr
    assert time.monotonic() - started > 10 * DELAY_S  # it was slow indeed
    assert isinstance(read_events(slow)[-1], RunFinished)
    assert _told(slow) == _told(quick)


def _hold(home: Home, held: threading.Event, over: threading.Event) -> None:
    """Hold the database for a second at a time, as a program on a slow disk does."""
    with closing(sqlite3.connect(home.database, isolation_level=None, timeout=30)) as connection:
        while not over.is_set():
            connection.execute("BEGIN IMMEDIATE")
            held.set()
            time.sleep(HOLD_S)
            connection.execute("COMMIT")
            time.sleep(0.05)


def test_whoever_writes_waits_for_one_who_is_slow(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    Store.open(home).close()
    held, over = threading.Event(), threading.Event()
    slow = threading.Thread(target=_hold, args=(home, held, over))
    slow.start()
    try:
        assert held.wait(10)
        with Store.open(home) as store:
            run_id = store.runs.create(resolve_spec({})).run_id
            store.labels.set_note(run_id, "written all the same")
            started = time.monotonic()
            assert store.runs.get(run_id).note == "written all the same"
            assert time.monotonic() - started < HOLD_S  # who reads does not wait
    finally:
        over.set()
        slow.join()
