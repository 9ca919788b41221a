"""What is wrong with a request is reported before torch is imported, which takes seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from safetensors.numpy import save_file

from engine.protocol.export import ExportNetwork
from engine.protocol.inference import EvaluateRun, PredictImages
from engine.rundir import RunDir
from tests.small_runs import MakeRun

pytestmark = pytest.mark.usefixtures("cold_starts")


@pytest.fixture
def run_dir(make_run: MakeRun) -> RunDir:
    """Return a run whose checkpoint only names its classes."""
    run_dir = make_run()
    run_dir.checkpoints.mkdir()
    header = {"classes": '["cat","dog"]'}
    save_file({"x": np.zeros(1)}, run_dir.best_checkpoint, metadata=header)
    return run_dir


def answer(package: str, request: msgspec.Struct, folder: Path) -> str:
    """Return the answer of a process in which torch cannot be imported."""
    (folder / "torch.py").write_text("raise AssertionError('torch was imported')\n")
    done = subprocess.run(
        [sys.executable, "-m", f"engine.{package}", msgspec.json.encode(request).decode()],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])},
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"paths": ["nowhere.jpg"]}, "No file or folder nowhere.jpg."),
        ({"paths": [""]}, "No file or folder ''."),
        ({"paths": ["none*.jpg"]}, "No file matches 'none*.jpg'."),
        ({"paths": ["empty"]}, "No images found in empty."),
        ({"paths": ["table.csv"]}, "table.csv has no column path; its columns are file."),
        (
            {"paths": ["empty"], "arm": "dropot"},
            "has no arm dropot; it has dropout. Did you mean dropout?",
        ),
        (
            {"paths": ["empty"], "at": "last"},
            "it has best. Wait until it has finished, or resume it. Or use --at best.",
        ),
    ],
)
def test_predict(
    run_dir: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: Any, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "table.csv").write_text("file\nx.png\n")
    monkeypatch.chdir(tmp_path)
    request = PredictImages(run_dir=str(run_dir.path), **given)
    assert message in answer("inference", request, tmp_path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"data_dir": "nowhere"}, "no folder or file nowhere."),
        ({"domains": ["notto"]}, "has no domain notto. Did you mean noto?"),
        ({}, "--map"),  # none of its classes is one of the run
    ],
)
def test_evaluate(
    run_dir: RunDir, small_emoji: Path, tmp_path: Path, given: Any, message: str
) -> None:
    values = {"data_dir": str(small_emoji), **given}
    request = EvaluateRun(run_dir=str(run_dir.path), dataset="pets", **values)
    assert message in answer("inference", request, tmp_path)


def test_export(run_dir: RunDir, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "file").touch()
    request = ExportNetwork(run_dir=str(run_dir.path), to="onnx", destination=str(taken))
    assert "exists. Choose another folder" in answer("export", request, tmp_path)
    last = msgspec.structs.replace(request, destination=str(tmp_path / "new"), at="last")
    assert "has no checkpoint last.safetensors" in answer("export", last, tmp_path)
