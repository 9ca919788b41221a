"""A run whose process was told to wait says so, and how it is let go on."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import msgspec
import pytest

from engine.protocol import resolve_spec
from engine.rundir import RunDir
from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.store.told_runs import Teller, finished, started, steps_taken
from tests.waiting import wait_until
from vld_tui.dashboard.feed import HistorySource, Interest
from vld_tui.home import Home
from vld_tui.runs.run_folder import suspended_pid
from vld_tui.store.store import Store
from vld_tui.views.run_status import trouble_line

DEADLINE_S = 10.0


@pytest.fixture
def process(home: Home) -> Iterator[subprocess.Popen[bytes]]:
    """Start the process of a run that is named ``waits``, which is told to wait."""
    with (
        Store.open(home) as store,
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process,
    ):
        run_dir = store.runs.run_dir(store.runs.create(resolve_spec({}), name="waits").run_id)
        run_dir.write_process(process.pid)
        Teller(run_dir).says(
            msgspec.structs.replace(started(), pid=process.pid), steps_taken(5, 1.0)
        )
        process.send_signal(signal.SIGSTOP)
        wait_for(run_dir, process.pid)
        yield process
        process.kill()


def wait_for(run_dir: RunDir, pid: int | None) -> None:
    """Wait until the system has done with the process what the signal asks."""
    wait_until(lambda: suspended_pid(run_dir) == pid, DEADLINE_S)


def test_a_person_is_told_that_it_is_suspended_until_it_goes_on(
    home: Home, process: subprocess.Popen[bytes]
) -> None:
    said = f"suspended; to continue: kill -CONT {process.pid}"
    vld, source = Vld(home.path), HistorySource(home)
    run_id = vld.json("show", "waits")["run"]
    interest = Interest(watched=(run_id,), opened=run_id)

    def heading() -> str:
        opened = source.take(interest).opened
        assert opened is not None
        assert opened.curves.run.status == "running"
        return str(trouble_line(opened.curves.run, (), opened.contents.suspended_pid))

    assert heading() == said
    assert said in " ".join(vld("show", "waits").stdout.split())
    assert vld.json("show", "waits")["suspended"] is True
    process.send_signal(signal.SIGCONT)
    wait_for(home.run_dir(run_id), None)
    assert heading() == "None"
    assert said not in " ".join(vld("show", "waits").stdout.split())
    assert vld.json("show", "waits")["suspended"] is False
    source.close()


def test_a_run_that_is_over_is_not_suspended(home: Home, process: subprocess.Popen[bytes]) -> None:
    (run,) = Vld(home.path).json("ls")
    Teller(home.run_dir(run["run"])).says(
        finished(5, selected_step=5, id_accuracy=0.5, ood_accuracy=0.5)
    )
    assert Vld(home.path).json("show", "waits")["suspended"] is False
    assert "kill -CONT" not in Vld(home.path)("show", "waits").stdout
