"""A home, the programs that work in it, and whoever kills them.

Everything is the real thing: engines that train, the supervisor, dashboards in terminals of
their own, and a person who launches a study again whenever something has died.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from tests.small_runs import LONGER_RUN, engine_environment
from vld_tui.home import Home

ENGINE, SUPERVISOR, DASHBOARD, COMMAND = "engine", "supervisor", "dashboard", "command"
KINDS: Final = (ENGINE, SUPERVISOR, DASHBOARD, COMMAND)
BIN: Final = Path(sys.executable).parent
STUDY: Final = "chaos"
_PROGRAMS: Final = {
    "engine": ENGINE,
    "stand_in_engine.py": ENGINE,
    "vld_tui.launch.queue": SUPERVISOR,
    "tests.vld_tui.launch.queue_with_stand_in": SUPERVISOR,
}
"""Modules and scripts by what they are."""
_TERMINAL: Final = {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}

RUN: Final[Mapping[str, object]] = {
    **LONGER_RUN,
    "steps": 24,
    "eval_every": 4,
    "log_every": 2,
    "arms": ["averaged", "ensemble"],
    "average_from": 6,
    "keep_checkpoints": "all",
}
"""A run of real images with both arms: whatever a resumed run has to bring along."""


@dataclass
class Household:
    """A home, and the processes that this program started in it."""

    home: Home
    data: Path
    slots: int = 2
    dashboards: list[subprocess.Popen[bytes]] = field(default_factory=list)
    commands: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _terminals: list[int] = field(default_factory=list)

    def write_study(self, seeds: int) -> Path:
        """Write the study of two rates and this many seeds, and return its file."""
        path = self.home.path / f"{STUDY}.toml"
        fields = {**RUN, "data_dir": str(self.data)}
        target = fields.pop("target")
        path.write_text(
            f'name = "{STUDY}"\nseeds = {seeds}\n[fields]\n'
            + "".join(f"{name} = {json.dumps(value)}\n" for name, value in fields.items())
            + f'[cross]\ntarget = ["{target}"]\ndropout_rate = [0.0, 0.9]\n'
        )
        return path

    def vld(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start ``vld`` on this home."""
        command = subprocess.Popen(
            [BIN / "vld", "--home", str(self.home.path), *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=engine_environment(),
        )  # fmt: skip
        self.commands.append(command)
        return command

    def open_dashboard(self) -> None:
        """Start a dashboard in a terminal of its own; what it draws is read and forgotten."""
        ours, theirs = pty.openpty()
        dashboard = subprocess.Popen(
            [BIN / "vld-tui", "--home", str(self.home.path)],
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            env=engine_environment() | _TERMINAL,
        )  # fmt: skip
        os.close(theirs)
        self.dashboards.append(dashboard)
        self._terminals.append(ours)
        threading.Thread(target=_drain, args=(ours,), daemon=True).start()

    def processes(self) -> Iterator[tuple[str, psutil.Process]]:
        """Find the living processes of this home by what they are."""
        for started, kind in ((self.dashboards, DASHBOARD), (self.commands, COMMAND)):
            for each in started:
                if each.poll() is None and (process := living(each.pid)):
                    yield kind, process
        for process in psutil.process_iter(["cmdline", "status"]):
            found = _kind(process.info["cmdline"] or (), self.home)
            if found and process.info["status"] != psutil.STATUS_ZOMBIE:
                yield found, process

    def close(self) -> None:
        """End everything that works in this home."""
        for _ in range(3):  # a supervisor may start an engine meanwhile
            kill(process for _, process in self.processes())
        for each in (*self.dashboards, *self.commands):
            each.wait()
            if each.stdout is not None:
                each.stdout.close()


def living(pid: int) -> psutil.Process | None:
    """Find a process; None: it has ended, perhaps at this very moment."""
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def kill(processes: Iterable[psutil.Process]) -> int:
    """Kill processes as the kernel does when memory runs out; return how many still lived."""
    killed = 0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
            killed += 1
    return killed


def wait_until_gone(process: psutil.Process, patience_s: float = 10.0) -> None:
    """Wait until a killed process has let go of what it held."""
    with contextlib.suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
        process.wait(patience_s)


def _kind(words: Sequence[str], home: Home) -> str | None:
    """Tell an engine or a supervisor of this home by its command line; None: neither."""
    if not any(word.startswith(str(home.path)) for word in words):
        return None
    kinds = (_PROGRAMS.get(word.rpartition("/")[2]) for word in words)
    return next(filter(None, kinds), None)


def _drain(terminal: int) -> None:
    with contextlib.suppress(OSError):  # the dashboard is gone
        while os.read(terminal, 65536):
            time.sleep(0.01)
    os.close(terminal)
