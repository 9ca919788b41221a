"""Fixtures shared by all tests: small real images and runs on them."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from engine.datasets.catalog import EMOJI_ARCHIVE
from engine.protocol import resolve_spec
from engine.rundir import RunDir, UserData
from tests.small_runs import IMAGES_PER_CLASS, SMALL_CLASSES, SMALL_RUN, MakeRun

# As in the engine, and before any test imports torch: threads that wait do not spin.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="session")
def small_emoji(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack 3 classes × 16 images of each of the four emoji styles as a plain folder."""
    root = tmp_path_factory.mktemp("data") / "small-emoji"
    with zipfile.ZipFile(EMOJI_ARCHIVE) as archive:
        taken: dict[str, int] = {}
        for name in sorted(archive.namelist()):
            folder, _, _ = name.rpartition("/")
            if folder.partition("/")[2] not in SMALL_CLASSES:
                continue
            taken[folder] = taken.get(folder, 0) + 1
            if taken[folder] <= IMAGES_PER_CLASS:
                archive.extract(name, root)
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
