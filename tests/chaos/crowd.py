"""Many programs on one home at once, all of them writing."""

from __future__ import annotations

import itertools
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import psutil

from engine.protocol import RunSpec
from tests.chaos.household import DASHBOARD, ENGINE, Household, kill
from tests.small_runs import engine_environment
from vld_tui.control.queue import set_slots
from vld_tui.launch.queue import is_supervised
from vld_tui.store.store import Store


@dataclass
class Crowd:
    """Everybody who works in a home; ``most_engines`` were seen at once."""

    household: Household
    supervisor: Sequence[str]
    most_engines: int = 0
    commands: int = 0
    complaints: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def gather(
        self, specs: Sequence[RunSpec], *, dashboards: int, writers: int, patience_s: float
    ) -> None:
        """Do as many runs at once as there are specs, while dashboards and commands look and write.

        Two supervisors are started; one is to work.
        """
        home = self.household.home
        with Store.open(home) as store:
            set_slots(store, len(specs))
            store.runs.create_many(specs, is_queued=True)
            run_ids = [run.run_id for run in store.queue.runs()]
        supervisors = [
            subprocess.Popen([*self.supervisor, str(home.path)], env=engine_environment())
            for _ in range(2)
        ]
        while not is_supervised(home):
            time.sleep(0.05)
        for _ in range(dashboards):
            self.household.open_dashboard()
        threads = [
            threading.Thread(target=self._write, args=(run_id,)) for run_id in run_ids[:writers]
        ]
        for thread in threads:
            thread.start()
        self._watch(patience_s)
        self._over.set()
        for thread in threads:
            thread.join()
        self._check_dashboards(dashboards)
        for each in supervisors:
            if each.wait(patience_s) != 0:
                self.complaints.append(f"a supervisor ended with {each.returncode}")

    def _watch(self, patience_s: float) -> None:
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            engines = [p for kind, p in self.household.processes() if kind == ENGINE]
            self.most_engines = max(self.most_engines, len(engines))
            with Store.open(self.household.home) as store:
                store.live.refresh()
                if all(run.status == "finished" for run in store.runs.find()):
                    return
            time.sleep(0.2)
        self.complaints.append(f"not all runs finished in {patience_s:g} s")

    def _write(self, run_id: str) -> None:
        """Write a note of a run again and again, and read it back: nobody takes it away."""
        for count in itertools.count():
            for words in (
                ("note", run_id, str(count)), ("tag", run_id, f"round-{count % 3}"),
                ("show", run_id), ("ls",), ("queue", "ls"),
            ):  # fmt: skip
                self._command(*words)
            with Store.open(self.household.home) as store:
                note = store.runs.get(run_id).note
            if note != str(count):
                self.complaints.append(f"{run_id}: the note is {note!r}, not {count}")
            if self._over.is_set():
                return

    def _command(self, *words: str) -> None:
        command = self.household.vld(*words)
        said, _ = command.communicate()
        self.commands += 1
        if command.returncode != 0:
            self.complaints.append(f"vld {' '.join(words)}: {said.decode(errors='replace')}")

    def _check_dashboards(self, dashboards: int) -> None:
        alive: list[psutil.Process] = [
            process for kind, process in self.household.processes() if kind == DASHBOARD
        ]
        if len(alive) != dashboards:
            self.complaints.append(f"{dashboards - len(alive)} dashboards are gone")
        kill(alive)
