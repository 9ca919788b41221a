"""The use of this machine, and of it by the running runs."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.rundir.usage import process_use
from vld_tui.runs.machine import MachineLoad
from vld_tui.runs.run import Run
from vld_tui.store.store import Store


@dataclass(frozen=True)
class RunUse:
    """What a running run uses of this machine; None: unknown, or it runs on another machine.

    ``cpu_share`` is of all processors of the machine.
    """

    run: Run
    is_here: bool
    cpu_share: float | None = None
    memory_gib: float | None = None


@dataclass(frozen=True)
class MachineState:
    """The use of the machine at Unix time ``at``."""

    at: float
    host: str
    home: Path
    cores: int
    load_average: float
    load: MachineLoad
    runs: tuple[RunUse, ...]

    def as_record(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        load = self.load
        return {
            "time": self.at,
            "host": self.host,
            "home": str(self.home),
            "cores": self.cores,
            "cpu_share": load.cpu_share,
            "load": self.load_average,
            "memory_gib": load.memory_gib,
            "memory_total_gib": load.memory_total_gib,
            "disk_left_gib": load.disk_left_gib,
            "gpus": [each._asdict() for each in load.gpus],
            "runs": [
                {
                    "run": each.run.run_id,
                    "name": each.run.name,
                    "host": each.run.host,
                    "step": each.run.step,
                    "steps": each.run.steps,
                    "phase": each.run.phase and each.run.phase.as_record(),
                    "cpu_share": each.cpu_share,
                    "memory_gib": each.memory_gib,
                    "steps_per_s": each.run.steps_per_s,
                    "seconds_left": each.run.seconds_left,
                }
                for each in self.runs
            ],
        }


class MachineWatch:
    """Reads the use of this machine again and again; processor shares are since the last time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._past: dict[str, tuple[float, float]] = {}

    def read(self) -> MachineState:
        """Return the state now; the first one has no processor shares."""
        runs = tuple(self._use_of(run) for run in self._store.live.runs())
        home = self._store.home.path
        return MachineState(
            at=time.time(),
            host=socket.gethostname(),
            home=home,
            cores=os.cpu_count() or 1,
            load_average=os.getloadavg()[0],
            load=MachineLoad.measure(home),
            runs=runs,
        )

    def _use_of(self, run: Run) -> RunUse:
        process = self._store.runs.run_dir(run.run_id).read_process()
        is_here = process is not None and process.is_alive() is True
        use = process_use(process.pid) if process is not None and is_here else None
        if use is None:
            return RunUse(run, is_here)
        now, share = time.monotonic(), None
        if before := self._past.get(run.run_id):
            seconds = (now - before[0]) * (os.cpu_count() or 1)
            share = min(1.0, max(0.0, use.cpu_s - before[1]) / seconds) if seconds else None
        self._past[run.run_id] = now, use.cpu_s
        return RunUse(run, is_here, share, use.memory_gib)
