"""``vld sweep stop``: all that runs or waits of a study, here and on a cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.cli.test_cluster_commands import goes_on
from tests.vld_tui.launch.slurm_programs import Programs
from tests.vld_tui.store.told_runs import Teller, started, stopped
from vld_tui.store.store import Store

STUDY = 'name = "rates"\ndata = ["emoji"]\nseeds = 3\n[cross]\ntarget = ["noto"]\n'


@pytest.fixture(autouse=True)
def _at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing work on the queue, and weights be where they are."""
    monkeypatch.setattr("vld_tui.control.queue.start_supervisor", lambda *_: None)
    answers: dict[str, object] = {"sizes": {}}
    monkeypatch.setattr(
        "vld_tui.study.planner.ask_engine", lambda what, *_, **__: answers.get(what, [])
    )


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "rates.toml"
    path.write_text(STUDY)
    return str(path)


def runs_of(store: Store) -> list[str]:
    """Return the runs by their seeds."""
    return [run.run_id for run in sorted(store.runs.find(), key=lambda run: run.seed)]


def cancelled(programs: Programs) -> list[str]:
    return [each for each in programs.asked if each.startswith("scancel")]


def test_what_waits_here_is_taken_out(vld: Vld, store: Store, file: str) -> None:
    vld("sweep", file)
    hints = vld("sweep", "status", "rates").stdout.splitlines()
    assert any(line.startswith("  vld sweep stop rates  #") for line in hints)
    told = vld("sweep", "stop", "rates")
    assert (told.exit_code, told.stdout) == (
        0,
        "3 runs removed from the queue\n  vld sweep rates  # resume the stopped runs\n",
    )
    assert {store.runs.get(run).status for run in runs_of(store)} == {"stopped"}
    assert vld("sweep", "stop", "rates").stdout == "no running or queued runs of rates\n"
    assert "sweep stop" not in vld("sweep", "status", "rates").stdout


def test_jobs_that_wait_are_cancelled_at_once_and_what_runs_saves(
    vld: Vld, store: Store, programs: Programs, file: str
) -> None:
    vld("sweep", file, "--on", "slurm")
    programs.says(
        "squeue", "12_0|RUNNING|None|node3\n12_1|PENDING|Priority|\n12_2|PENDING|Priority|\n"
    )
    first, *others = runs_of(store)
    goes_on(store.runs.run_dir(first))
    told = vld("sweep", "stop", "rates")
    assert told.stdout.splitlines()[0] == "2 runs removed from the queue; 1 run stopping"
    assert cancelled(programs) == ["scancel --quiet 12_1 12_2"]
    assert [store.runs.get(run).status for run in others] == ["stopped", "stopped"]
    assert store.runs.run_dir(first).read_stop() is not None


def test_jobs_are_killed_whole(vld: Vld, store: Store, programs: Programs, file: str) -> None:
    vld("sweep", file, "--on", "slurm", "--pack", "2")
    programs.says("squeue", "12_0|RUNNING|None|node3\n12_1|PENDING|Priority|\n")
    first, second, third = runs_of(store)
    goes_on(store.runs.run_dir(first))
    record = vld.json("sweep", "stop", "rates", "--kill")
    assert (record["killed"], record["taken_out"]) == ([first], [second, third])
    assert cancelled(programs) == ["scancel --quiet 12_1", "scancel --quiet --signal=KILL 12_0"]


def test_a_job_goes_on_with_runs_of_others(
    vld: Vld, store: Store, programs: Programs, file: str, tmp_path: Path
) -> None:
    vld("sweep", file, "--on", "slurm", "--pack", "2")
    programs.says("squeue", "12_0|PENDING|Priority|\n12_1|PENDING|Priority|\n")
    second = runs_of(store)[1]
    smaller = tmp_path / "smaller.toml"
    smaller.write_text(STUDY.replace("rates", "smaller").replace("seeds = 3", "seeds = [0, 2]"))
    told = vld("sweep", "stop", str(smaller))
    assert told.stdout.splitlines()[0] == "2 runs removed from the queue"
    assert cancelled(programs) == ["scancel --quiet 12_1"]
    assert store.runs.get(second).status == "queued"
    killed = vld("sweep", "stop", str(smaller), "--kill")
    assert killed.stdout == "no running or queued runs of smaller\n"


def test_without_slurm_runs_of_a_cluster_are_passed_over(
    vld: Vld, store: Store, programs: Programs, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vld("sweep", file, "--on", "slurm")
    first, *others = runs_of(store)
    goes_on(store.runs.run_dir(first))
    monkeypatch.setenv("PATH", "/nowhere")
    told = vld("sweep", "stop", "rates", "--kill")
    assert told.exit_code == 1
    assert told.stdout.splitlines()[0] == "2 runs removed from the queue"
    assert f"Run {first} is on node3: kill process" in told.stderr
    assert [store.runs.get(run).has_job for run in others] == [False, False]


def test_copies_are_left_alone(vld: Vld, store: Store, file: str) -> None:
    vld("sweep", file)
    store.runs.run_dir(runs_of(store)[0]).mark_synced()
    told = vld("sweep", "stop", "rates").stdout.splitlines()[0]
    assert told == "2 runs removed from the queue; 1 run is a read-only copy: stop it where it runs"


def test_a_run_that_its_job_would_begin_again_is_stopped(
    vld: Vld, store: Store, programs: Programs, file: str
) -> None:
    vld("sweep", file, "--on", "slurm")
    lines = [f"12_{index}|RUNNING|None|node3\n" for index in range(3)]
    programs.says("squeue", "".join(lines))
    first = runs_of(store)[0]
    Teller(store.runs.run_dir(first)).says(started(), stopped(4))
    told = vld("sweep", "stop", "rates").stdout.splitlines()[0]
    assert told == "3 runs removed from the queue"
    assert cancelled(programs) == ["scancel --quiet 12_1 12_2 12_0"]
    assert store.runs.run_dir(first).read_stop() is not None
