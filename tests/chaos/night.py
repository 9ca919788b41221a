"""A night of kills: many short runs under the queue, and ``kill -9`` at random moments."""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from engine.rundir import RunDir
from tests.chaos.household import (
    COMMAND,
    DASHBOARD,
    ENGINE,
    SUPERVISOR,
    Household,
    kill,
    living,
    wait_until_gone,
)
from vld_tui.runs.run import Run
from vld_tui.store.errors import StoreError
from vld_tui.store.store import Store

WEIGHTS: Final = {ENGINE: 12.0, SUPERVISOR: 2.0, DASHBOARD: 1.0, COMMAND: 1.0}
"""How often each kind is hit."""
PAUSE_S: Final = 1.0
"""Mean time before a kill; the times themselves are random."""
BLIND: Final = 0.2
"""Share of the engines' kills that do not wait until the engine has said something."""
WORD_S: Final = 30.0
"""How long the others wait for that."""
AIM_S: Final = 2.0
"""How long a kill aimed at a checkpoint that is being written waits for one."""
AIMED: Final = 0.25
"""Share of the engines' kills that are aimed."""
_POLL_S: Final = 0.001


@dataclass
class Night:
    """What was done to a home."""

    household: Household
    chance: random.Random
    seeds: int
    kills: Counter[str] = field(default_factory=Counter)
    torn_saves: int = 0
    complaints: list[str] = field(default_factory=list)
    _awaits_engine: bool = False

    def pass_by(self, kills: int) -> None:
        """Kill processes so many times while others start them again; runs are added as needed."""
        self._launch(wait=True)
        while self.kills.total() < kills:
            self._tend()
            self._kill_one()
        kill(p for kind, p in self.household.processes() if kind in (DASHBOARD, COMMAND))

    def recover(self, patience_s: float) -> None:
        """Launch the study again until every run is over, and all is quiet."""
        deadline = time.monotonic() + patience_s
        while unfinished := [run for run in self.runs() if run.status != "finished"]:
            if time.monotonic() > deadline:
                told = ", ".join(f"{run.run_id} {run.status} ({run.error})" for run in unfinished)
                self.complaints.append(f"not finished in {patience_s:g} s: {told}")
                return
            if SUPERVISOR not in {kind for kind, _ in self.household.processes()}:
                self._launch(wait=True)
            time.sleep(0.5)
        while any(kind != DASHBOARD for kind, _ in self.household.processes()):
            time.sleep(0.1)

    def runs(self) -> list[Run]:
        """Return the runs of the home as history tells them now."""
        while True:
            try:
                with Store.open(self.household.home) as store:
                    store.live.refresh()
                    return store.runs.find()
            except StoreError as error:
                if "locked" not in str(error):
                    raise

    def _tend(self) -> None:
        """Do what a person does who looks in: open the dashboard, launch the study again."""
        alive = {kind for kind, _ in self.household.processes()}
        if DASHBOARD not in alive:
            self.household.open_dashboard()
        if COMMAND in alive:
            return
        self._hear_commands()
        runs = self.runs()
        busy = [run for run in runs if run.is_live or run.status == "queued"]
        if len(busy) < self.household.slots:
            if runs and all(run.status == "finished" for run in runs if run not in busy):
                self.seeds += 1
            self._launch(wait=False)
        elif SUPERVISOR not in alive and DASHBOARD not in alive:
            self._launch(wait=False)

    def _launch(self, *, wait: bool) -> None:
        study = self.household.write_study(self.seeds)
        command = self.household.vld(
            "sweep", str(study), "--slots", str(self.household.slots), "--yes"
        )
        if wait:
            command.wait()
            self._hear_commands()

    def _hear_commands(self) -> None:
        """Take down what commands complained of that were not killed."""
        for command in self.household.commands:
            said = _said(command)
            if command.returncode not in (0, -9):
                self.complaints.append(f"vld ended with {command.returncode}: {said}")
        self.household.commands.clear()

    def _kill_one(self) -> None:
        # Engines live briefly; if others were hit instead of waiting for one, few would be.
        kinds = {ENGINE: 1.0} if self._awaits_engine else WEIGHTS
        (kind,) = self.chance.choices(list(kinds), list(kinds.values()))
        alive = [each for found, each in self.household.processes() if found == kind]
        self._awaits_engine = kind == ENGINE and not alive
        if not alive:
            time.sleep(10 * _POLL_S)
            return
        victim = self.chance.choice(alive)
        if kind == ENGINE and self.chance.random() > BLIND:
            self._await_word(victim)
        time.sleep(self.chance.expovariate(1 / PAUSE_S))
        if kind == ENGINE and self.chance.random() < AIMED and (saving := self._await_save()):
            victim = saving
            self.torn_saves += 1
        if kill([victim]):
            self.kills[kind] += 1
            wait_until_gone(victim)

    def _await_word(self, engine: psutil.Process) -> None:
        """Wait until an engine says something, or is gone."""
        try:
            folder = [word for word in engine.cmdline() if word][-1]  # blank ends: it was forked
            log = RunDir(Path(folder)).events
            size = log.stat().st_size if log.exists() else 0
            deadline = time.monotonic() + WORD_S
            while engine.is_running() and time.monotonic() < deadline:
                if log.exists() and log.stat().st_size > size:
                    return
                time.sleep(10 * _POLL_S)
        except (psutil.NoSuchProcess, IndexError):
            return

    def _await_save(self) -> psutil.Process | None:
        """Return an engine that is writing a checkpoint; None when none does so soon."""
        deadline = time.monotonic() + AIM_S
        while time.monotonic() < deadline:
            for torn in self.household.home.runs.glob("*/checkpoints/.*.tmp"):
                pid = torn.suffixes[-2].removeprefix(".")
                if pid.isdecimal() and (engine := living(int(pid))):
                    return engine
            time.sleep(_POLL_S)
        return None


def _said(command: subprocess.Popen[bytes]) -> str:
    output, _ = command.communicate()
    return output.decode(errors="replace").strip()
