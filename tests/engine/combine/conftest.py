"""Small fine-tuned networks to combine, and runs that combine them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.protocol import (
    Combination,
    CombinationSpec,
    Evaluated,
    LastLayer,
    Parent,
    RunSpec,
    resolve_spec,
)
from engine.rundir import RunDir, UserData
from tests.small_runs import SMALL_RUN, read_events, run_here

NETWORK = "test_resnet"
OTHER_NETWORK = "test_efficientnet"

PRETRAINED_ENDS: dict[str, LastLayer] = {"start": "start_of_run", "probe": "linear_probe"}

RUNS: dict[str, dict[str, Any]] = {
    "first": {"seed": 1},
    "second": {"seed": 2, "lr": 3e-3},
    "third": {"seed": 3, "dropout_rate": 0.0},
}
"""Runs from one start on one split."""


def do(run_dir: RunDir) -> RunDir:
    """Do a run in this process, to its end, and return its folder."""
    run_here(run_dir)
    return run_dir


def evaluations(run_dir: RunDir) -> dict[int, Evaluated]:
    """Return what a run's evaluations found, by step."""
    return {e.step: e for e in read_events(run_dir) if isinstance(e, Evaluated)}


def best_of(run_dir: RunDir) -> Evaluated:
    """Return the evaluation of the selected step."""
    return max(evaluations(run_dir).values(), key=lambda e: (e.id_accuracy, -e.step))


@dataclass(frozen=True)
class Family:
    """A home of finished runs, by name, that start from one pre-trained network."""

    home: Path
    spec: RunSpec

    def __getitem__(self, name: str) -> RunDir:
        return RunDir(self.home / "runs" / name)

    def parent(self, name: str, at: str = "best") -> Parent:
        """Return a run as a parent; what it started from is ``start`` or, with a last layer of its
        own, ``probe``."""
        if name in PRETRAINED_ENDS:
            return Parent("", None, PRETRAINED_ENDS[name])
        return Parent(name, str(self[name].checkpoints / f"{at}.safetensors"))

    def make(
        self, method: str, *names: str, at: str = "best", points: int = 11, **fields: Any
    ) -> RunDir:
        """Make the folder of a run that combines others."""
        combination = Combination(
            method=method,  # type: ignore[arg-type]
            parents=tuple(self.parent(name, at) for name in names),
            points=points,
        )
        first = next(name for name in names if name not in PRETRAINED_ENDS)
        spec = CombinationSpec.of(self[first].read_spec(), combination).spec
        spec = RunSpec(**{f: getattr(spec, f) for f in spec.__struct_fields__} | fields)
        run_dir = self[f"{method}-{len(list((self.home / 'runs').iterdir()))}"]
        run_dir.create(CombinationSpec(spec, combination), UserData())
        return run_dir

    def combine(self, method: str, *names: str, **settings: Any) -> RunDir:
        """Combine runs to the end."""
        return do(self.make(method, *names, **settings))

    def train(self, name: str, **fields: Any) -> RunDir:
        """Add a run to the family."""
        values = {f: getattr(self.spec, f) for f in self.spec.__struct_fields__}
        self[name].create(RunSpec(**values | fields), UserData())
        return do(self[name])


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, small_emoji: Path) -> Family:
    """Train a few networks from one start, once."""
    home = tmp_path_factory.mktemp("family") / "home"
    small = {"data_dir": str(small_emoji), **SMALL_RUN, "model": NETWORK, "trial_seed": 0}
    start = RunDir(home / "runs" / "start")
    start.create(resolve_spec({**small, "steps": 60, "eval_every": 20}), UserData())
    do(start)
    family = Family(
        home, resolve_spec({**small, "weights": str(start.best_checkpoint), "steps": 16})
    )
    for name, fields in RUNS.items():
        family.train(name, **fields)
    return family


@pytest.fixture
def family(trained: Family, tmp_path: Path) -> Family:
    """Return a copy of the trained networks for one test."""
    shutil.copytree(trained.home, tmp_path / "home")
    return Family(tmp_path / "home", trained.spec)
