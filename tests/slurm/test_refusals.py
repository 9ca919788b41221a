"""What a real Slurm refuses or cannot answer is said in a line or two, and nothing is left."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.slurm.login import ROOT, Login

pytestmark = pytest.mark.slurm


def assert_refused(login: Login, command: str, options: list[str], words: str) -> None:
    what = [login.study(seeds=2)] if command == "sweep" else []
    done = login(command, *what, "--on", "slurm", *options)
    assert done.returncode == 2, done
    assert words in done.stderr
    assert 1 <= len(done.stderr.splitlines()) <= 2, done.stderr
    assert login.runs() == []
    assert list(login.home.runs.iterdir()) == []
    assert list(login.home.jobs.glob("*")) == []


@pytest.mark.parametrize(
    ("command", "options", "words"),
    [
        (
            "sweep",
            ["--partition", "shrt"],
            "No partition 'shrt' on this cluster. Did you mean short?",
        ),
        ("sweep", ["--partition", "guarded"], "Invalid account or account/partition combination"),
        ("run", ["--gpus-per-run", "3"], "Requested node configuration is not available"),
        ("sweep", ["--partition", "short", "--time", "5"], "Requested time limit is invalid"),
        ("run", ["--cpus", "9"], "More processors requested than permitted"),
        ("sweep", ["--mem", "1T"], "Memory specification can not be satisfied"),
        ("run", ["--sbatch", "colour=red"], "unrecognized option '--colour=red'"),
    ],
)
def test_what_the_cluster_has_not_is_refused(
    login: Login, command: str, options: list[str], words: str
) -> None:
    assert_refused(login, command, options, words)
    assert login.jobs() == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--gpus-per-run", "2", "--time", "5"], "cluster   2 jobs in 1 array · partition main"),
        (["--gpus-per-run", "3"], "problem   sbatch: allocation failure: Requested node config"),
        (["--partition", "short", "--time", "5"], "problem   time is 5, but the limit of short is"),
        (["--partition", "shrt"], "problem   No partition 'shrt' on this cluster"),
        (["--sbatch", "colour=red"], "problem   sbatch: unrecognized option '--colour=red'"),
    ],
)
def test_a_dry_run_asks_the_cluster_and_submits_nothing(
    login: Login, options: list[str], words: str
) -> None:
    done = login("sweep", login.study(seeds=2), "--on", "slurm", "--dry-run", *options)
    said = done.stdout
    assert done.returncode == (2 if words.startswith("problem") else 0)
    assert words in said
    assert ("problem" in said) == words.startswith("problem")
    assert login.jobs() == ""
    assert list(login.home.jobs.glob("*")) == []


def test_a_controller_that_is_away_is_said_to_be(login: Login) -> None:
    login.cluster.stop_controller()
    try:
        assert_refused(login, "sweep", [], "does not answer: it is down on ")
    finally:
        login.cluster.start_controller()
    assert login.jobs() == ""


def test_munge_that_does_not_run_is_said_not_to(login: Login) -> None:
    login.cluster.stop_munged()
    try:
        assert_refused(login, "run", [], "munge is not running")
    finally:
        login.cluster.start_munged()
    assert login.jobs() == ""


def test_history_is_shown_and_a_run_taken_out_while_the_controller_is_away(login: Login) -> None:
    login.sweep(login.study(), "--sbatch", "hold")
    run = login.run()
    login.cluster.stop_controller()
    try:
        shown = login("ls")
        kill = login("stop", "--kill", run["run"])
        login.does("stop", run["run"])
    finally:
        login.cluster.start_controller()
    assert (shown.returncode, run["run"] in shown.stdout) == (0, True)
    assert "could not refresh job states: Slurm's controller does not" in shown.stderr
    assert kill.returncode == 2
    assert "Error: Slurm's controller does not answer" in kill.stderr
    assert login.run()["status"] == "stopped"
    login.cluster.run("scontrol", "release", run["job"])
    login.until_all("stopped")
    assert not login.folder(run).events.exists()


def test_a_job_that_does_not_see_the_home_says_so(login: Login) -> None:
    login.sweep(login.study(), "--sbatch", "hold")
    run = login.run()
    away = login.home.path.with_name("away")
    login.home.path.rename(away)
    login.cluster.run("scontrol", "release", run["job"])
    login.until_idle()
    shutil.rmtree(login.home.path, ignore_errors=True)
    away.rename(login.home.path)
    (found,) = login.until_all("crashed")
    assert found["error"].startswith(f"no process started the run: job {run['job']} ended")
    assert f"is {login.home.path} accessible from the nodes?" in found["error"]


def test_a_node_with_another_version_of_the_program_says_so(login: Login, tmp_path: Path) -> None:
    metadata = tmp_path / "older" / "vld_tui-0.0.9.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: vld-tui\nVersion: 0.0.9\n")
    path = os.pathsep.join([str(metadata.parents[1]), str(ROOT)])
    login.sweep(login.study(), "--env", f"PYTHONPATH={path}")
    (found,) = login.until_all("crashed")
    assert "has version 0.0.9, protocol " in found["error"]


def test_a_setup_that_ends_the_job_is_told_with_its_last_words(login: Login) -> None:
    login.sweep(login.study(), "--setup", "no-such-module load cuda", "--setup", "exit 3")
    (found,) = login.until_all("crashed")
    first, *said = found["error"].splitlines()
    assert "failed (exit code 3). It ended before the run started; see " in first
    assert "no-such-module: command not found" in said[-1]
    shown = "".join(login.does("show", found["run"]).split())
    assert f"job'slog{first.rpartition('see ')[2]}" in shown


def test_what_a_setup_says_stays_in_the_jobs_log_beside_what_the_job_does(login: Login) -> None:
    login.sweep(login.study(), "--setup", "no-such-module load cuda")
    login.until_all("finished")
    assert "no-such-module: command not found" in login.job_logs()
    assert "Job completed successfully" in login.job_logs()


def test_a_job_that_never_starts_is_told_to(login: Login) -> None:
    login.cluster.run("scontrol", "update", "PartitionName=short", "MaxTime=10")
    try:
        login.sweep(login.study(), "--partition", "short", "--time", "5", "--sbatch", "hold")
    finally:
        login.cluster.run("scontrol", "update", "PartitionName=short", "MaxTime=1")
    run = login.run()
    login.cluster.run("scontrol", "release", run["job"])
    words = "will never start: it requests more time than its partition allows"
    login.wait(lambda: f"PartitionTimeLimit: {words}" in login.does("queue", "ls"))
    assert words in " ".join(login.does("show", run["run"]).split())
    login.does("stop", run["run"])
    login.until_all("stopped")
