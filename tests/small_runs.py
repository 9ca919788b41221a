"""Small real runs: what they are made of, how they are done, what they said."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from engine.__main__ import delete_spare_checkpoints
from engine.datasets.catalog import EMOJI_ARCHIVE
from engine.protocol import AnyEvent, RunFinished, RunStopped, decode_event
from engine.rundir import RunDir
from engine.rundir.event_log import EventLog
from engine.stop_request import StopRequest

SMALL_CLASSES = ("animal", "face", "food")
IMAGES_PER_CLASS = 16

SMALL_RUN: Mapping[str, object] = {
    "target": "fluent-mono",
    "model": "test_resnet",
    "weights": "none",
    "image_size": 32,
    "batch_size": 4,
    "steps": 24,
    "warmup_steps": 20,
    "eval_every": 8,
    "log_every": 4,
    "head_steps": 10,
    "precision": "fp32",
    "memory_format": "contiguous",
    "fold_batchnorm": "on",
    "threads": 1,
    "device": "cpu",
}
"""A run that takes a second or two: a small network from scratch on a few real images."""

LONGER_RUN: Mapping[str, object] = {**SMALL_RUN, "model": "resnet10t"}
"""A run that takes several seconds, for others to find it at work."""

MakeRun = Callable[..., RunDir]


class StopAfter(StopRequest):
    """Asks for a stop when it has been looked at so many times."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks_left = looks

    @property
    def requested(self) -> bool:
        """Count the look, and say whether it is time."""
        self._looks_left -= 1
        if self._looks_left < 0:
            self.ask("SIGTERM")
        return bool(self.reason)


def unpack_small_emoji(root: Path) -> None:
    """Unpack 3 classes × 16 images of each of the four emoji styles as a plain folder."""
    with zipfile.ZipFile(EMOJI_ARCHIVE) as archive:
        taken: dict[str, int] = {}
        for name in sorted(archive.namelist()):
            folder, _, _ = name.rpartition("/")
            if folder.partition("/")[2] not in SMALL_CLASSES:
                continue
            taken[folder] = taken.get(folder, 0) + 1
            if taken[folder] <= IMAGES_PER_CLASS:
                archive.extract(name, root)


def make_outliers(root: Path, count: int = 12) -> Path:
    """Make a folder of images of noise, some of them in a folder below."""
    random = np.random.default_rng(0)
    for number in range(count):
        path = root / ("more" if number % 3 == 0 else ".") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (40, 36, 3), dtype=np.uint8)).save(path)
    return root


def engine_environment() -> dict[str, str]:
    """Return an environment in which ``python -m engine`` is this checkout's."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def start_engine(run_dir: RunDir, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
    """Start the real engine on a run folder, with further variables in its environment."""
    command = [sys.executable, "-m", "engine", str(run_dir.path), *arguments]
    with run_dir.log.open("ab") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env=engine_environment() | variables,
        )  # fmt: skip


def run_here(run_dir: RunDir) -> None:
    """Do the run in this process, where torch is imported already."""
    from engine.run import run

    log = EventLog(run_dir.events)
    try:
        outcome = run(run_dir, log, StopRequest())
        log.record(outcome)
    finally:
        log.close()
    delete_spare_checkpoints(run_dir, outcome)


def stop_here(run_dir: RunDir, looks: int) -> RunFinished | RunStopped:
    """Do the first steps of a run here, and save it when a stop was looked for so many times."""
    from engine.data import load_with_outliers
    from engine.train import fine_tune

    spec, log = run_dir.read_spec(), EventLog(run_dir.events)
    stop = StopAfter(looks)
    data = load_with_outliers(spec, run_dir.cache)
    outcome = fine_tune(spec, data, run_dir, None, log, stop)
    log.record(outcome)
    log.close()
    return outcome


def read_events(run_dir: RunDir) -> list[AnyEvent]:
    """Return the complete events of a run."""
    if not run_dir.events.exists():
        return []
    lines = run_dir.events.read_bytes().split(b"\n")[:-1]
    return [decode_event(line) for line in lines]
