"""A home in a temporary folder, its open history, a cluster of programs that a test tells what to
say, and a run that was given to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.protocol import resolve_spec
from engine.rundir import JobInfo
from tests.vld_tui.launch.slurm_programs import Programs
from vld_tui.home import Home, open_home
from vld_tui.runs.run import Run
from vld_tui.store.store import Store


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "home")


@pytest.fixture
def store(home: Home) -> Iterator[Store]:
    with Store.open(home) as store:
        yield store


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    made = Programs.write(tmp_path / "programs")
    monkeypatch.setenv("PATH", os.pathsep.join([str(made.folder), "/usr/bin", "/bin"]))
    return made


@pytest.fixture
def submitted(store: Store) -> Run:
    """Return a run that was given to job 7_0."""
    run = store.runs.create(resolve_spec({"steps": 20}), name="first")
    log = store.home.path / "job.log"
    store.jobs.mark_submitted(
        {run.run_id: JobInfo("7_0", run.created_at, str(log), {"time": "60"})}
    )
    return store.runs.get(run.run_id)
