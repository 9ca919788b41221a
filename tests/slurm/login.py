"""``vld`` as a person types it where jobs are submitted, with real engines in the jobs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from engine.protocol import AnyEvent
from engine.rundir import RunDir
from tests.chaos.checks import attempts_are_explained, equals_undisturbed, events_are_whole
from tests.slurm.cluster import SlurmCluster
from tests.small_runs import SMALL_RUN, read_events
from vld_tui.home import Home, open_home
from vld_tui.store.store import Store

ROOT: Final = Path(__file__).parents[2]
DEADLINE_S: Final = 240.0
Record = dict[str, Any]


@dataclass(frozen=True)
class Login:
    """A cluster's login node, where ``vld`` has a home of its own."""

    cluster: SlurmCluster
    home: Home
    data: Path

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "vld_tui.cli", *arguments],
            env=self.environment, cwd=self.home.path.parent, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=DEADLINE_S, check=False,
        )  # fmt: skip

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a ``vld`` that means this home and this cluster."""
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        return self.cluster.environment | {"VLD_HOME": str(self.home.path), "PYTHONPATH": path}

    def does(self, *arguments: str) -> str:
        """Run a command that succeeds and return what it prints."""
        done = self(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """Run a command that succeeds and return the one document it prints."""
        return json.loads(self.does(*arguments, "--json"))

    def runs(self) -> list[Record]:
        """Return what ``vld ls`` knows of the runs, the first that was made first."""
        return list(reversed(self.json("ls")))

    def run(self) -> Record:
        """Return the only run."""
        (run,) = self.runs()
        return run

    def study(self, seeds: int = 1, **fields: object) -> str:
        """Write a study of small runs, one for each seed, and return its path."""
        values = {name: value for name, value in SMALL_RUN.items() if name != "target"}
        values |= {"steps": 8, "eval_every": 4, "warmup_steps": 0, "data_dir": str(self.data)}
        values |= fields
        lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
        path = self.home.path.parent / "small.toml"
        head = f'name = "small"\nseeds = {seeds}\n[cross]\ntarget = ["fluent-mono"]\n[fields]\n'
        path.write_text(head + "\n".join(lines) + "\n")
        return str(path)

    def sweep(self, study: str, *options: str) -> str:
        """Submit what is missing of a study."""
        return self.does("sweep", study, "--on", "slurm", *options)

    def folder(self, run: Record) -> RunDir:
        """Return a run's folder."""
        return self.home.run_dir(run["run"])

    def until(self, is_so: Callable[[list[Record]], bool]) -> list[Record]:
        """Wait until ``vld ls`` has the runs so, and return them."""
        end = time.monotonic() + DEADLINE_S
        while not is_so(runs := self.runs()):
            assert time.monotonic() < end, f"{runs}\n{self.jobs()}"
            time.sleep(0.5)
        return runs

    def until_all(self, *statuses: str) -> list[Record]:
        """Wait until no job waits or runs and every run has one of these statuses."""
        self.until_idle()
        return self.until(lambda runs: all(run["status"] in statuses for run in runs))

    def until_event(self, run: Record, kind: type[AnyEvent], count: int = 1) -> None:
        """Wait until a run told of something so often."""
        self.wait(
            lambda: sum(isinstance(event, kind) for event in read_events(self.folder(run))) >= count
        )

    def wait(self, is_so: Callable[[], object]) -> None:
        """Wait until something is so."""
        end = time.monotonic() + DEADLINE_S
        while not is_so():
            assert time.monotonic() < end, f"{self.runs()}\n{self.jobs()}"
            time.sleep(0.1)

    def jobs(self) -> str:
        """Return the jobs that wait or run."""
        return self.cluster.run("squeue", "--noheader", "--array", "-o", "%i %j %T %r").stdout

    def until_idle(self) -> None:
        """Wait until no job waits or runs, without a look at history."""
        end = time.monotonic() + DEADLINE_S
        while jobs := self.jobs():
            assert time.monotonic() < end, jobs
            time.sleep(0.1)

    def job_logs(self) -> str:
        """Return what the jobs wrote."""
        return "\n".join(path.read_text() for path in sorted(self.home.jobs.glob("*/*_log.out")))

    def engine(self, run: Record) -> psutil.Process:
        """Return the process of a run."""
        process = self.folder(run).read_process()
        assert process is not None
        return psutil.Process(process.pid)

    @contextmanager
    def asleep(self, run: Record) -> Iterator[None]:
        """Have a run take no step inside the block, so that it is not over when told to end."""
        engine = self.engine(run)
        engine.suspend()
        try:
            yield
        finally:
            with suppress(psutil.NoSuchProcess):
                engine.resume()

    def assert_undisturbed(self, *runs: Record) -> None:
        """Compare finished runs, to the last bit, with the same ones done here without a pause."""
        elsewhere = open_home(self.home.path.parent / "undisturbed")
        with Store.open(self.home) as store:
            for run in map(store.runs.get, (run["run"] for run in runs)):
                assert run.status == "finished"
                assert [
                    *equals_undisturbed(store, run, elsewhere),
                    *events_are_whole(self.home, run),
                    *attempts_are_explained(store, run),
                ] == []
