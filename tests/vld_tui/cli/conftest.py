"""``vld`` as a test types it: in this process for its answers, in its own for its signals."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from engine.protocol import resolve_spec
from tests.small_runs import SMALL_RUN, engine_environment, start_engine
from tests.vld_tui.cli.vld_with_stand_in import STAND_IN_COMMAND
from vld_tui.cli import app
from vld_tui.home import Home, open_home
from vld_tui.launch.local import launch
from vld_tui.launch.queue import Starter, Supervisor
from vld_tui.store.store import Store

ROOT = Path(__file__).parents[3]
WITH_STAND_IN = Path(__file__).with_name("vld_with_stand_in.py")

WorkedOn = Callable[[Starter], list[int | None]]


@dataclass(frozen=True)
class Vld:
    """``vld`` with a home of its own."""

    home: Path

    def __call__(self, *arguments: str, typed: str | None = None) -> Result:
        """Run a command in this process."""
        environment = {"VLD_HOME": str(self.home), "COLUMNS": "100", "NO_COLOR": "1"}
        return CliRunner(env=environment).invoke(app, list(arguments), input=typed)

    def json(self, *arguments: str) -> Any:
        """Run a command that succeeds and return the one document it prints."""
        result = self(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    def environment(self, **variables: str) -> dict[str, str]:
        """Return the environment of a ``vld`` in a process of its own."""
        return engine_environment() | {"VLD_HOME": str(self.home)} | variables

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start a command in a process of its own, its runs taken up by the stand-in engine."""
        return subprocess.Popen(
            [sys.executable, str(WITH_STAND_IN), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(**variables),
        )


@pytest.fixture
def vld(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vld:
    """Return ``vld`` in an empty home, its runs taken up by the stand-in engine."""
    stand_in = functools.partial(launch, command=STAND_IN_COMMAND)
    monkeypatch.setattr("vld_tui.control.start.launch", stand_in)
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    return Vld(home)


@pytest.fixture
def worked_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkedOn]:
    """Return a function that has the queue's runs started in a way; it returns the slots."""
    monkeypatch.setattr("vld_tui.launch.queue.POLL_S", 0.05)
    monkeypatch.setattr("vld_tui.launch.queue._say", lambda _text: None)
    monkeypatch.setattr("vld_tui.cli.foreground.POLL_S", 0.05)
    monkeypatch.setattr("vld_tui.cli.foreground.is_supervised", lambda _home: True)
    threads: list[threading.Thread] = []
    slots_given: list[int | None] = []

    def work_by(start: Starter) -> list[int | None]:
        def work(home: Home, slots: int | None) -> None:
            with Store.open(home) as store:
                Supervisor(store, start, slots=slots).work()

        def start_supervisor(home: Home, slots: int | None = None) -> None:
            slots_given.append(slots)
            threads.append(threading.Thread(target=work, args=(home, slots)))
            threads[-1].start()

        monkeypatch.setattr("vld_tui.control.queue.start_supervisor", start_supervisor)
        return slots_given

    yield work_by
    for thread in threads:
        thread.join()


@pytest.fixture(scope="session")
def history_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with three runs: one finished, one collapsed, one failed, in that order."""
    vld = Vld(tmp_path_factory.mktemp("history") / "home")
    for model, words in (
        ("finish", ["--tag", "best", "--name", "first"]),
        ("collapse", ["--target", "noto", "--dropout", "0.5"]),
        ("fail", ["--dropout", "0", "--seed", "3"]),
    ):
        options = ("--dataset", "emoji", "--model", model, "--steps", "100", "--head-steps", "5")
        with vld.start("run", *options, *words) as run:
            run.communicate(timeout=60)
    return vld.home


@pytest.fixture
def history(history_template: Path, vld: Vld) -> Vld:
    """Return ``vld`` in a home of its own with the three runs of the template."""
    shutil.copytree(history_template, vld.home, dirs_exist_ok=True)
    return vld


@pytest.fixture(scope="session")
def trained_template(tmp_path_factory: pytest.TempPathFactory, small_emoji: Path) -> Path:
    """Return a home with one run, ``trained``, of the real engine."""
    home = open_home(tmp_path_factory.mktemp("trained") / "home")
    with Store.open(home) as store:
        spec = resolve_spec({"data_dir": str(small_emoji), **SMALL_RUN})
        run_dir = store.runs.run_dir(store.runs.create(spec, name="trained").run_id)
        with start_engine(run_dir) as engine:
            assert engine.wait(timeout=240) == 0
        store.live.refresh()
    return home.path


@pytest.fixture
def trained(trained_template: Path, vld: Vld) -> Vld:
    """Return ``vld`` in a home of its own with the run ``trained``."""
    shutil.copytree(trained_template, vld.home, dirs_exist_ok=True)
    return vld
