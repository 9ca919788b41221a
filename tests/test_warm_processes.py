"""A warm process is the one that would have been started cold."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from engine.rundir import RunDir
from tests.small_runs import MakeRun, engine_environment, read_events, start_engine
from tests.waiting import wait_until
from tests.warm_processes import WarmPopen

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="all processes start cold")


def test_it_ends_and_speaks_as_a_cold_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "engine", "here"],
            cwd=tmp_path, env=engine_environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip

    warm = run()
    monkeypatch.setattr(WarmPopen, "is_on", False)
    cold = run()
    assert (warm.returncode, warm.stdout, warm.stderr) == (2, "", cold.stderr)
    assert cold.returncode == 2


def test_it_is_a_child_of_who_started_it_and_is_killed_as_one(make_run: MakeRun) -> None:
    run_dir: RunDir = make_run(steps=100_000)
    process = start_engine(run_dir, FLAVOUR="vanilla")
    wait_until(lambda: read_events(run_dir))
    found = psutil.Process(process.pid)
    assert found.ppid() == os.getpid()
    assert "FLAVOUR" not in found.environ(), "the kernel shows what a process was started with"
    process.kill()
    assert process.wait() == -9
    assert not psutil.pid_exists(process.pid)


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="only a worker is forked")
def test_a_worker_is_warm_too() -> None:
    assert "tests.warm_program" in psutil.Process().cmdline()
