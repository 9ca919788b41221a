"""Studies whose runs are jobs of a real Slurm."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from engine.protocol import RunFinished, RunStarted, StepsTaken
from engine.rundir.life import HEARTBEAT_INTERVAL_S
from tests.slurm.login import Login, Record
from tests.small_runs import read_events

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]  # on a busy machine


def spans(login: Login, runs: Sequence[Record]) -> list[tuple[float, float]]:
    """Return when each run began and ended."""
    spans = []
    for run in runs:
        events = read_events(login.folder(run))
        assert isinstance(events[0], RunStarted)
        assert isinstance(events[-1], RunFinished)
        spans.append((events[0].time, events[-1].time))
    return spans


def most_at_once(spans: Sequence[tuple[float, float]]) -> int:
    return max(sum(start <= moment < end for start, end in spans) for moment, _ in spans)


def test_a_study_is_done_by_several_arrays_two_runs_at_a_time_and_once(login: Login) -> None:
    study = login.study(seeds=6)
    said = login.sweep(study)
    assert "submitted 6 runs as jobs " in said
    assert len({run["job"].partition("_")[0] for run in login.runs()}) == 2  # MaxArraySize is 4
    runs = login.until_all("finished")
    assert len(runs) == 6
    assert {run["job_node"] for run in runs} == {login.cluster.host}
    assert {run["attempts"] for run in runs} == {1}
    assert most_at_once(spans(login, runs)) == 2
    login.assert_undisturbed(*runs)
    assert "nothing to launch: 6 finished" in login.sweep(study)
    assert login.jobs() == ""
    assert len(login.runs()) == 6
    assert "6 finished · 0 running" in login.does("sweep", "status", "small")


def test_runs_share_jobs_and_gpus(login: Login) -> None:
    login.sweep(login.study(seeds=6), "--pack", "3", "--runs-per-gpu", "2")
    runs = login.until_all("finished")
    jobs = sorted({run["job"] for run in runs})
    assert len(jobs) == 2
    for job in jobs:
        mates = [run for run in runs if run["job"] == job]
        assert len(mates) == 3
        assert most_at_once(spans(login, mates)) == 2
    login.assert_undisturbed(runs[-1])


def test_a_study_is_stopped_and_goes_on_where_it_was(login: Login) -> None:
    login.sweep(login.study(seeds=4, steps=60), "--array-parallelism", "1")
    first = login.runs()[0]
    login.until_event(first, StepsTaken)
    with login.asleep(first):
        said = login.does("sweep", "stop", "small")
        assert said.startswith("3 runs removed from the queue; 1 run stopping\n")
        time.sleep(HEARTBEAT_INTERVAL_S)  # it looks for a stop as soon as it wakes
    login.until_all("stopped")
    said = login.does("sweep", "small")
    assert "on slurm, as last time (array_parallelism=1); use --on local to run here" in said
    assert login.does("sweep", "stop", "small", "--kill").startswith("4 runs ")
    login.until_all("stopped", "crashed")
