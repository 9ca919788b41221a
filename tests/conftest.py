"""Fixtures shared by all tests: small real images and runs on them."""

from __future__ import annotations

import tests.environment  # noqa: F401 - before all others, which may read variables

# isort: split
import gc
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from engine.protocol import resolve_spec
from engine.rundir import RunDir, UserData
from tests.small_runs import SMALL_RUN, MakeRun, unpack_small_emoji
from tests.warm_processes import WarmPopen

# How long an example takes says how busy the machine is.
settings.register_profile("patient", deadline=None, database=None)
settings.load_profile("patient")


def pytest_configure() -> None:
    """Have the engine's processes start warm."""
    subprocess.Popen = WarmPopen  # type: ignore[misc]


def pytest_collection_finish() -> None:
    """Spare the garbage collector what stays, torch's objects above all; compute on one thread."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)
    if "torch" in sys.modules:  # as the runs of tests set it, and leave it for later tests
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture
def cold_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have all processes start as they do outside of tests."""
    monkeypatch.setattr(WarmPopen, "is_on", False)


@pytest.fixture(scope="session")
def small_emoji(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack 3 classes × 16 images of each of the four emoji styles as a plain folder."""
    root = tmp_path_factory.mktemp("data") / "small-emoji"
    unpack_small_emoji(root)
    return root


@pytest.fixture
def make_run(tmp_path: Path, small_emoji: Path) -> MakeRun:
    """Return a function that makes the folder of a small run, fields as given."""

    def make(name: str = "run", **fields: object) -> RunDir:
        spec = resolve_spec({"data_dir": str(small_emoji), **SMALL_RUN, **fields})
        run_dir = RunDir(tmp_path / "home" / "runs" / name)
        run_dir.create(spec, UserData())
        return run_dir

    return make
