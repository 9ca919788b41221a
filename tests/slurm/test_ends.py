"""Jobs that are ended before their runs are finished, by Slurm or by a person."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from engine.protocol import Cautioned, PhaseReported, RunStarted, RunStopped, StepsTaken
from engine.protocol.diagnostics import DIAGNOSTICS
from engine.rundir.life import HEARTBEAT_INTERVAL_S
from tests.slurm.login import Login, Record
from tests.small_runs import read_events

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]  # on a busy machine

ENDLESS = 100_000


def begin(login: Login, *options: str, steps: int) -> Record:
    """Submit one run and return it once it takes steps."""
    login.sweep(login.study(steps=steps), *options)
    run = login.run()
    login.until_event(run, StepsTaken)
    return run


def is_told(run: Record, login: Login) -> bool:
    """Say whether a signal waits for a run that is asleep."""
    status = Path(f"/proc/{login.engine(run).pid}/status").read_text().split()
    return any(int(status[status.index(f"{name}Pnd:") + 1], 16) for name in ("Sig", "Shd"))


def stopped_steps(login: Login, run: Record) -> list[int]:
    events = read_events(login.folder(run))
    return [event.step for event in events if isinstance(event, RunStopped)]


def resumed_steps(login: Login, run: Record) -> list[int | None]:
    events = read_events(login.folder(run))
    return [event.resumed_step for event in events if isinstance(event, RunStarted)]


def diagnosing(login: Login, run: Record) -> bool:
    events = read_events(login.folder(run))
    return any(isinstance(each, PhaseReported) and each.phase == "diagnosing" for each in events)


def test_a_job_that_is_warned_saves_waits_again_and_goes_on(login: Login) -> None:
    run = begin(login, steps=40)
    with login.asleep(run):
        login.cluster.run("scancel", "--signal=USR2", run["job"])
        login.wait(lambda: is_told(run, login))
    login.wait(lambda: "BeginTime" in (said := login.does("queue", "ls")) and "1 queued" in said)
    (done,) = login.until_all("finished")
    assert (done["attempts"], done["job"]) == (2, run["job"])
    assert resumed_steps(login, run) == [None, *stopped_steps(login, run)]
    login.assert_undisturbed(done)


def test_diagnostics_that_a_job_is_warned_of_are_computed_after_it_is_resumed(
    login: Login,
) -> None:
    login.sweep(login.study(diagnose=["all"]))
    run = login.run()
    login.wait(lambda: diagnosing(login, run))
    with login.asleep(run):  # Slurm signals its diagnosing process as well
        login.cluster.run("scancel", "--signal=USR2", run["job"])
        login.wait(lambda: is_told(run, login))
    (done,) = login.until_all("finished")
    assert done["attempts"] == 2
    assert stopped_steps(login, run) == [8], "no step is repeated"
    expected = {name for name, each in DIAGNOSTICS.items() if not each.needs_runs}
    assert login.folder(run).read_diagnoses().found.keys() == expected
    cautions = [
        each.message for each in read_events(login.folder(run)) if isinstance(each, Cautioned)
    ]
    assert not [each for each in cautions if "diagnostics" in each]


def test_a_job_whose_time_is_up_saves_waits_again_and_goes_on(login: Login) -> None:
    run = begin(login, "--time", "1", steps=ENDLESS)
    login.wait(lambda: stopped_steps(login, run))
    login.until_event(run, RunStarted, 2)
    login.does("stop", run["run"])
    (stopped,) = login.until_all("stopped")
    resumed = resumed_steps(login, run)
    assert stopped["attempts"] == len(resumed) >= 2
    assert stopped["job"] == run["job"]
    assert resumed == [None, *stopped_steps(login, run)[: len(resumed) - 1]]


def test_a_job_that_others_take_the_place_of_goes_on_after_them(login: Login) -> None:
    run = begin(login, "--partition", "low", steps=40)
    with login.asleep(run):
        first = login.cluster.run(
            "sbatch", "--partition=high", "--exclusive", "--output=/dev/null", "--wrap=sleep 1"
        )
        assert first.returncode == 0, first.stderr
        login.wait(lambda: stopped_steps(login, run))  # Slurm wakes what it asks to end
    (done,) = login.until_all("finished")
    assert done["attempts"] == 2
    assert resumed_steps(login, run) == [None, *stopped_steps(login, run)]
    login.assert_undisturbed(done)


def test_a_run_that_waits_is_held_released_stopped_and_resumed(login: Login) -> None:
    login.sweep(login.study(seeds=2), "--sbatch", "begin=now+1hour")
    held, stopped = login.runs()
    login.does("queue", "hold", held["run"])
    assert "JobHeld" in login.jobs()
    assert "JobHeld" in login.does("queue", "ls")
    login.does("queue", "release", held["run"])
    assert "JobHeld" not in login.jobs()
    login.does("stop", stopped["run"])
    login.until(lambda runs: [run["status"] for run in runs] == ["queued", "stopped"])
    assert stopped["job"] not in login.jobs()
    login.cluster.run("scancel", held["job"].partition("_")[0])
    login.until_all("stopped")
    assert not login.folder(stopped).events.exists()
    login.does("resume", stopped["run"], "--sbatch", "none")
    login.until(lambda runs: [run["status"] for run in runs] == ["stopped", "finished"])


def test_runs_that_were_stopped_are_resumed_together(login: Login) -> None:
    login.sweep(login.study(seeds=2), "--sbatch", "hold")
    ids = [run["run"] for run in login.runs()]
    login.does("stop", *ids)
    login.until_all("stopped")
    said = login.does("resume", *ids, "--on", "slurm", "--sbatch", "none")
    assert said.startswith("submitted 2 runs as job ")
    runs = login.until_all("finished")
    assert len({run["job"].partition("_")[0] for run in runs}) == 1, "one array"
    assert {run["attempts"] for run in runs} == {1}


def test_a_run_that_goes_on_is_stopped_and_resumed(login: Login) -> None:
    run = begin(login, steps=60)
    with login.asleep(run):
        said = login.does("stop", run["run"])
        assert f"{run['run']} is stopping on {login.cluster.host}" in said
        time.sleep(HEARTBEAT_INTERVAL_S)  # it looks for a stop as soon as it wakes
    (stopped,) = login.until_all("stopped")
    assert stopped["error"] is None
    assert stopped["step"] == stopped_steps(login, run)[0]
    assert f"step {stopped['step']}" in login.does("show", run["run"]).replace(",", "")
    resumed = login.json("resume", run["run"])
    assert resumed["status"] == "queued"
    assert resumed["job"] != run["job"]
    (done,) = login.until_all("finished")
    assert done["attempts"] == 2
    login.assert_undisturbed(done)


def test_a_run_that_is_killed_or_whose_job_is_cancelled_ends_and_is_resumed(login: Login) -> None:
    run = begin(login, steps=ENDLESS)
    login.does("stop", "--kill", run["run"])
    (killed,) = login.until_all("stopped", "crashed")  # it may be fast enough to save
    assert killed["status"] == "stopped" or killed["job"] in killed["error"]
    login.does("resume", run["run"])
    login.until(lambda runs: runs[0]["attempts"] == 2)
    login.cluster.run("scancel", login.run()["job"])
    (cancelled,) = login.until_all("stopped", "crashed")
    assert cancelled["status"] == "stopped" or cancelled["job"] in cancelled["error"]


def test_an_engine_that_is_killed_takes_no_other_run_with_it(login: Login) -> None:
    study = login.study(seeds=3, steps=24)
    login.sweep(study, "--pack", "3")
    first = login.runs()[0]
    login.until_event(first, StepsTaken)
    os.kill(login.engine(first).pid, signal.SIGKILL)
    runs = login.until_all("finished", "crashed")
    assert [run["status"] for run in runs] == ["crashed", "finished", "finished"]
    assert runs[0]["error"].startswith("killed (signal 9)")
    assert "submitted 1 run" in login.sweep(study)
    runs = login.until_all("finished")
    assert [run["attempts"] for run in runs] == [2, 1, 1]
    login.assert_undisturbed(runs[0])
