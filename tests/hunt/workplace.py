"""Where a situation is tried: images, a home, ``vld`` as it is typed, and short real runs."""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from typer.testing import Result

from engine.protocol import DataPrepared, RunFailed, RunStopped, resolve_spec
from engine.rundir import RunDir
from engine.rundir.event_log import EventLog
from tests.engine.datasets.image_folders import fill_folder
from tests.engine.test_engine_process import measured
from tests.small_runs import SMALL_RUN, StopAfter, read_events, run_here
from tests.vld_tui.cli.conftest import Vld
from vld_tui.home import open_home
from vld_tui.store.store import Store

DOMAINS = ("blue", "green", "red")
CLASSES = ("circle", "cross", "square")
SHORT_RUN: Mapping[str, object] = {
    **SMALL_RUN, "target": "red", "steps": 4, "eval_every": 2, "log_every": 1, "head_steps": 2,
}  # fmt: skip


@dataclass(frozen=True)
class Workplace:
    """A temporary folder with a home in it."""

    path: Path
    vld: Vld

    def images(
        self,
        name: str = "images",
        domains: Sequence[str] = DOMAINS,
        classes: Sequence[str] = CLASSES,
        count: int = 6,
    ) -> Path:
        """Make a folder of ``domain/class/NUMBER.png``; no two images are the same."""
        seed = zlib.crc32(name.encode())
        return fill_folder(self.path / name, dict.fromkeys(domains, classes), count, seed=seed)

    def picture(self, path: Path, seed: int = 7, **options: Any) -> Path:
        """Write one image of noise, in the format that its suffix or ``format`` names."""
        pixels = np.random.default_rng(seed).integers(0, 256, (36, 40, 3), dtype=np.uint8)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, **options)
        return path

    def table(self, rows: Sequence[tuple[str, str, str]], name: str = "table.csv") -> Path:
        """Write a table of path, label and domain."""
        path = self.path / name
        path.write_text(
            "".join(",".join(row) + "\n" for row in (("path", "label", "domain"), *rows))
        )
        return path

    def check(self, path: Path) -> tuple[int, Any, str]:
        """Return the exit code of ``vld data check``, its JSON if there is any, and its words."""
        checked = self.vld("data", "check", str(path), "--json")
        spoken = self.vld("data", "check", str(path))
        report = json.loads(checked.stdout) if checked.stdout.strip() else None
        return checked.exit_code, report, spoken.output

    def add(self, name: str, path: Path, *words: str) -> Result:
        """Run ``vld data add``."""
        return self.vld("data", "add", name, str(path), *words)

    def make(self, data: Path | str, **fields: object) -> RunDir:
        """Make a short run that has not begun, on a folder or on a set that was added."""
        where = data if isinstance(data, Path) else self.vld.home / "data" / data
        spec = resolve_spec({"data_dir": str(where), **SHORT_RUN, **fields})
        home = open_home(self.vld.home)
        with Store.open(home) as store:
            return store.runs.run_dir(store.runs.create(spec).run_id)

    def train(self, data: Path | str, **fields: object) -> RunDir:
        """Do a short run to its end, in this process."""
        run = self.make(data, **fields)
        run_here(run)
        return run

    def prepared(self, data: Path | str, **fields: object) -> DataPrepared:
        """Return what a run of one step trains on."""
        run = self.train(data, **{"steps": 1, "eval_every": 1, "head_steps": 0, **fields})
        return next(event for event in read_events(run) if isinstance(event, DataPrepared))

    def stop_and_resume(self, run: RunDir, *looks: int) -> None:
        """Do a run in several lives; each but the last is stopped after so many looks."""
        from engine.run import run as take_up

        for count in looks:
            log = EventLog(run.events)
            outcome = take_up(run, log, StopAfter(count))
            assert isinstance(outcome, RunStopped), outcome
            log.record(outcome)
            log.close()
        run_here(run)

    def copy(self, path: Path, name: str) -> Path:
        """Copy a folder within the workplace."""
        shutil.copytree(path, self.path / name)
        return self.path / name


def results(run: RunDir) -> dict[tuple[object, ...], object]:
    """Return all that a run measured."""
    return measured(run)


def failure(run: RunDir) -> RunFailed:
    """Return how a run failed."""
    end = read_events(run)[-1]
    assert isinstance(end, RunFailed), end
    return end
