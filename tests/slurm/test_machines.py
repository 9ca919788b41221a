"""One run on two machines of a real Slurm: it is one process's run, and ends as one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from engine.distributed.exchange import Exchange
from engine.protocol import RunStarted, StepsTaken
from engine.rundir import UserData
from tests.measured import numbers
from tests.slurm.cluster import Options, SlurmCluster
from tests.slurm.login import Login, Record
from tests.slurm.machines import why_none
from tests.small_runs import read_events, run_here
from vld_tui.home import open_home

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]  # on a busy machine

MACHINES = ("node1", "node2")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """Start a cluster of two machines, or skip."""
    if reason := why_none():
        pytest.skip(f"NOT TESTED ON TWO MACHINES: {reason}")
    with SlurmCluster(tmp_path_factory.mktemp("pair"), Options(machines=MACHINES)) as started:
        yield started


@pytest.fixture
def login(pair: SlurmCluster, tmp_path: Path, small_emoji: Path) -> Login:
    return Login(pair, open_home(tmp_path / "home"), small_emoji)


def begin(login: Login, steps: int) -> Record:
    """Submit a run on both machines and return it once it takes steps."""
    login.sweep(login.study(nodes=2, steps=steps, log_every=1))
    run = login.run()
    login.until_event(run, StepsTaken)
    return run


def rank(login: Login, run: Record, number: int) -> psutil.Process:
    """Return the process of a rank."""
    folder = str(login.folder(run).path)
    (found,) = (
        process
        for process in psutil.process_iter(["cmdline", "environ"])
        if (process.info["cmdline"] or [""])[-1] == folder
        and (process.info["environ"] or {}).get("RANK") == str(number)
    )
    return found


def test_a_run_that_is_warned_waits_goes_on_and_is_one_process_s(login: Login) -> None:
    run = begin(login, steps=40)
    first = rank(login, run, 0)
    first.suspend()
    login.cluster.run("scancel", "--batch", "--signal=USR2", run["job"])
    login.wait(Exchange(login.folder(run).ranks).read_stop)
    first.resume()
    (done,) = login.until_all("finished")
    together = login.folder(done)
    starts = [event for event in read_events(together) if isinstance(event, RunStarted)]
    assert [event.host for event in starts] == ["node1", "node1"]
    assert starts[1].resumed_step
    alone = open_home(login.home.path.parent / "alone").run_dir(done["run"])
    alone.create(msgspec.structs.replace(together.read_spec(), nodes=1), UserData())
    run_here(alone)
    assert numbers(together) == pytest.approx(numbers(alone), rel=1e-5, abs=1e-5)


def test_a_rank_that_is_killed_on_the_other_machine_fails_the_run(login: Login) -> None:
    run = begin(login, steps=100_000)
    rank(login, run, 1).kill()
    (failed,) = login.until_all("failed")
    assert failed["error"].startswith("Rank 1 on node2 was killed (signal 9)")
