"""Daemons and people that die at the wrong moment: no run is lost, none is done twice."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.protocol import RunFinished, RunStarted, StepsTaken
from tests.slurm.cluster import SlurmCluster
from tests.slurm.login import DEADLINE_S, Login
from tests.small_runs import read_events
from vld_tui.home import open_home

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]  # on a busy machine

DIES = """\
import os
from vld_tui.cli import main
from submitit.core import utils
from vld_tui.launch.slurm import submit
given = {what}
def dies(*arguments, **named):
    given(*arguments, **named)
    os._exit(9)
{what} = dies
main()
"""


@pytest.fixture
def own(tmp_path: Path, small_emoji: Path) -> Iterator[Login]:
    """Return ``vld`` on a cluster that a test may break."""
    with SlurmCluster(tmp_path / "own") as cluster:
        yield Login(cluster, open_home(tmp_path / "home"), small_emoji)


def finishes(login: Login) -> int:
    (run,) = login.runs()
    return sum(isinstance(event, RunFinished) for event in read_events(login.folder(run)))


def test_a_run_outlives_the_daemon_of_its_node(own: Login) -> None:
    own.sweep(own.study(steps=40))
    run = own.run()
    own.until_event(run, StepsTaken)
    own.cluster.kill_slurmd()
    own.until_event(run, StepsTaken, 3)
    own.cluster.restart_slurmd()
    (done,) = own.until_all("finished")
    assert (done["attempts"], finishes(own)) == (1, 1)
    own.assert_undisturbed(done)


@pytest.mark.slow
def test_a_node_that_was_given_up_for_lost_does_no_run_twice(own: Login) -> None:
    study = own.study(seeds=2, steps=40)
    own.sweep(study, "--pack", "2")
    first = own.runs()[0]
    own.until_event(first, StepsTaken)
    with own.asleep(first):
        own.cluster.kill_slurmd()
        own.wait(lambda: "down" in own.cluster.run("sinfo", "--noheader", "-o", "%T").stdout)
    own.cluster.restart_slurmd()
    runs = own.until_all("finished", "crashed")
    assert all("job" in run["error"] for run in runs if run["status"] == "crashed")
    own.sweep(study)
    runs = own.until_all("finished")
    for run in runs:
        events = read_events(own.folder(run))
        assert sum(isinstance(event, RunFinished) for event in events) == 1
    own.assert_undisturbed(*runs)


@pytest.mark.parametrize(
    "what",
    [
        "utils.JobPaths.move_temporary_file",  # sbatch has answered, no job finds its runs
        "submit.Cluster._give",
        "submit.Cluster.submit",
        "submit.record_batch",
    ],
)
def test_who_dies_while_submitting_leaves_nothing_that_is_submitted_twice(
    login: Login, what: str
) -> None:
    study = login.study(seeds=2)
    dead = subprocess.run(
        [sys.executable, "-c", DIES.format(what=what), "sweep", study, "--on", "slurm",
         "--sbatch", "hold"],
        env=login.environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert dead.returncode == 9, dead.stderr
    jobs = login.jobs()
    assert len(jobs.splitlines()) == 2
    login.sweep(study)
    assert login.jobs() == jobs
    runs = login.runs()
    assert [run["status"] for run in runs] == ["queued", "queued"]
    assert {run["job"] for run in runs} == {line.split()[0] for line in jobs.splitlines()}
    for run in runs:
        login.cluster.run("scontrol", "release", run["job"])
    runs = login.until_all("finished")
    assert {sum(isinstance(e, RunStarted) for e in read_events(login.folder(r))) for r in runs} == {
        1
    }
