"""``vld stop`` and ``vld resume`` of runs that were given to a cluster, and what a quota leaves."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from engine.protocol import UserError, resolve_spec
from engine.rundir import ProcessInfo, RunDir, write_atomic
from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.launch.slurm_programs import Programs
from tests.vld_tui.store.told_runs import Teller, dead_process, started, stopped
from vld_tui.dashboard.actions import Actions
from vld_tui.home import Home
from vld_tui.launch.local import launch
from vld_tui.launch.slurm.commands import SlurmError
from vld_tui.launch.slurm.settings import make_settings
from vld_tui.launch.slurm.submit import Cluster, Need, submit_runs
from vld_tui.runs.run import Run
from vld_tui.store.store import Store

RUNNING = "7_0|RUNNING|None|node3\n"


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no Slurm on this machine."""
    monkeypatch.setenv("PATH", "/nowhere")


def goes_on(run_dir: RunDir, host: str = "node3") -> None:
    """Have a process on another machine work on a run."""
    process = ProcessInfo(pid=4321, started_at=time.time(), host=host)
    write_atomic(run_dir.process, msgspec.json.encode(process))
    Teller(run_dir).says(msgspec.structs.replace(started(), pid=4321, host=host))
    run_dir.heartbeat.touch()


def packed(store: Store, *settings: tuple[str, str]) -> tuple[str, str]:
    """Submit two runs as one job."""
    specs = [resolve_spec({"model": "finish", "steps": 20, "seed": seed}) for seed in range(2)]
    first, second = store.runs.create_many(specs)
    submit_runs(store, Cluster(make_settings({"pack": "2", **dict(settings)})), [first, second])
    return first, second


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("options", [(), ("--kill",)])
def test_without_slurm_a_run_that_waits_is_passed_over_by_its_job(
    vld: Vld, store: Store, submitted: Run, options: Sequence[str]
) -> None:
    result = vld("stop", submitted.run_id, *options)
    assert (result.exit_code, result.stdout) == (
        0,
        f"{submitted.run_id} was removed from the queue; job 7_0 was not cancelled, and "
        "will skip the run\n",
    )
    run = store.runs.get(submitted.run_id)
    assert (run.status, run.has_job) == ("stopped", False)
    assert store.runs.run_dir(run.run_id).read_stop() is not None
    assert "7_0 · detached" in vld("show", run.run_id).stdout
    again = vld("stop", submitted.run_id)
    assert again.exit_code == 2
    assert "is not running: it is stopped" in again.stderr


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("command", ["ls", "queue ls", "show @last"])
def test_without_slurm_nobody_takes_old_states_for_new(
    vld: Vld, store: Store, submitted: Run, command: str
) -> None:
    note = "could not refresh job states: Slurm is not installed on this machine\n"
    result = vld(*command.split())
    assert (result.exit_code, result.stderr) == (0, note)
    store.runs.run_dir(submitted.run_id).mark_synced()
    assert vld(*command.split()).stderr == "", "a copy's job is not asked about anywhere"


@pytest.mark.usefixtures("nowhere")
def test_without_slurm_a_run_on_a_node_is_asked_through_its_folder(
    vld: Vld, store: Store, submitted: Run
) -> None:
    run_dir = store.runs.run_dir(submitted.run_id)
    goes_on(run_dir)
    refused = vld("stop", "--kill", submitted.run_id)
    assert refused.exit_code == 2
    assert "is on node3: kill process 4321 there" in refused.stderr
    assert "without --kill" in refused.stderr
    assert run_dir.read_stop() is None
    assert store.runs.get(submitted.run_id).has_job
    assert vld("stop", submitted.run_id).stdout == (
        f"{submitted.run_id} is stopping on node3 after the current step; "
        "job 7_0 was not cancelled\n"
    )
    assert run_dir.read_stop() is not None
    Teller(run_dir).says(stopped(4))
    run = store.runs.get(submitted.run_id)
    assert (run.status, run.has_job) == ("stopped", False)


@pytest.mark.usefixtures("nowhere")
def test_without_slurm_a_run_whose_node_is_this_machine_is_killed(
    vld: Vld, store: Store, submitted: Run
) -> None:
    run_dir = store.runs.run_dir(submitted.run_id)
    process = launch(run_dir, [sys.executable, "-c", "import time; time.sleep(60)"])
    Teller(run_dir).says(started())
    try:
        told = vld("stop", "--kill", submitted.run_id).stdout
        assert process.wait(timeout=60) == -9
    finally:
        process.kill()
        process.wait()
    assert told == f"{submitted.run_id} was killed; job 7_0 was not cancelled\n"
    assert run_dir.read_stop() is not None, "its job would go on with it"
    kill = run_dir.read_kill()
    assert kill is not None
    assert kill.by == "vld stop --kill"


def test_a_killed_job_takes_along_what_else_was_in_it(
    vld: Vld, store: Store, programs: Programs
) -> None:
    first, second = packed(store)
    programs.says("squeue", "12|PENDING|Priority|\n")
    told = vld("stop", "--kill", first).stdout
    assert told == f"{first} was cancelled with job 12, and so were {second}\n"
    assert "scancel --quiet 12" in programs.asked


def test_the_dashboard_says_what_became_of_a_run_with_a_job(
    store: Store, programs: Programs, submitted: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on(store.runs.run_dir(submitted.run_id))
    store.live.refresh()
    actions = Actions(store.home)
    asked = actions.interrupt(submitted.run_id)
    assert asked == "first is stopping on node3 after the current step"
    assert actions.kill(submitted.run_id) == "first was killed with job 7_0"
    kill = store.runs.run_dir(submitted.run_id).read_kill()
    assert kill is not None
    assert kill.by == "the dashboard"
    assert "scancel --quiet --signal=KILL 7_0" in programs.asked
    monkeypatch.setenv("PATH", "/nowhere")
    assert actions.interrupt(submitted.run_id).endswith("job 7_0 was not cancelled")


def test_a_run_is_taken_out_of_its_job_as_out_of_the_queue(
    vld: Vld, store: Store, programs: Programs, submitted: Run
) -> None:
    programs.says("squeue", "7_0|PENDING|Priority|\n")
    assert vld("queue", "rm", submitted.run_id).exit_code == 0
    assert "scancel --quiet 7_0" in programs.asked
    assert store.runs.get(submitted.run_id).status == "stopped"
    goes_on(store.runs.run_dir(submitted.run_id))
    refused = vld("queue", "rm", submitted.run_id)
    assert refused.exit_code == 2


def test_a_run_whose_job_is_open_goes_on_nowhere_else(
    vld: Vld, store: Store, programs: Programs, submitted: Run
) -> None:
    programs.says("squeue", RUNNING)
    run_id = submitted.run_id
    Teller(store.runs.run_dir(run_id)).starts()
    Teller(store.runs.run_dir(run_id)).says(stopped(4))
    for options in ((), ("--on", "local"), ("--on", "slurm"), ("--queue",)):
        refused = vld("resume", run_id, *options)
        assert (refused.exit_code, refused.stderr) == (
            2,
            f"Error: Run {submitted.label} is stopped, but its job 7_0 has not ended.\n"
            f"Try again in a moment, or release it from the job: vld stop {run_id}\n",
        )
    for action in (Actions(store.home).resume, Actions(store.home).queue_again):
        with pytest.raises(SlurmError, match="is stopped, but its job 7_0 has not ended"):
            action(run_id)
    assert not any(command.startswith("sbatch") for command in programs.asked)


def test_the_dashboard_submits_a_run_again_that_it_took_out_a_moment_ago(
    store: Store, programs: Programs, submitted: Run
) -> None:
    programs.says("squeue", "7_0|PENDING|Priority|\n")
    actions = Actions(store.home)
    taken_out = actions.interrupt(submitted.run_id)
    assert taken_out == "first was removed from the queue; in the list of runs, r starts it"
    programs.says("squeue", "7_0|CANCELLED|None|\n")
    assert actions.resume(submitted.run_id) == "first was submitted again"
    run = store.runs.get(submitted.run_id)
    assert (run.status, run.job, run.has_job) == ("queued", "12", True)


def test_a_copy_of_a_run_with_a_job_is_said_to_be_one(
    vld: Vld, store: Store, programs: Programs, submitted: Run
) -> None:
    store.runs.run_dir(submitted.run_id).mark_synced()
    for options in ((), ("--on", "local"), ("--on", "slurm"), ("--queue",)):
        refused = vld("resume", submitted.run_id, *options)
        assert refused.exit_code == 2
        assert "is a read-only copy" in refused.stderr
    actions = Actions(store.home)
    for action in (actions.resume, actions.queue_again):
        with pytest.raises(UserError, match="is a read-only copy"):
            action(submitted.run_id)


def test_a_run_goes_on_here_while_its_job_goes_on_with_another_once_it_is_taken_out(
    vld: Vld, store: Store, programs: Programs
) -> None:
    programs.says("squeue", "12|RUNNING|None|node3\n")
    first, second = packed(store)
    goes_on(store.runs.run_dir(second))
    Teller(store.runs.run_dir(first)).starts()
    Teller(store.runs.run_dir(first)).says(stopped(4))
    dead_process(store.runs.run_dir(first), exit_code=130)
    refused = vld("resume", first, "--on", "local")
    assert "its job 12 has not ended" in refused.stderr
    told = vld("stop", first).stdout
    assert told == f"{first} was detached from job 12; the job was not cancelled\n"
    assert not any(command.startswith("scancel") for command in programs.asked)
    done = vld.json("resume", first, "--on", "local")
    assert (done["status"], done["attempts"]) == ("finished", 2)
    assert store.runs.get(second).status == "running"


def leave(store: Store, *runs: str) -> None:
    """Have the jobs of runs be over, each after some steps."""
    for run in runs:
        Teller(store.runs.run_dir(run)).starts()
        Teller(store.runs.run_dir(run)).says(stopped(4))
        store.runs.get(run)
        store.jobs.close(run)


def test_several_runs_are_submitted_again_together_where_they_asked_for_the_same(
    vld: Vld, store: Store, programs: Programs
) -> None:
    runs = [*packed(store), *packed(store, ("time", "30"))]
    leave(store, *runs)
    programs.says("sbatch", "Submitted batch job 13\n")
    told = vld("resume", *runs, runs[0])
    assert (told.exit_code, told.stdout) == (0, "submitted 4 runs as jobs 13, 13\n")
    assert {store.runs.get(run).status for run in runs} == {"queued"}
    assert sum(command.startswith("sbatch") for command in programs.asked) == 4
    leave(store, *runs)
    done = vld.json("resume", *runs, "--on", "slurm", "--time", "60")
    assert done == {"submitted": runs, "arrays": ["13"], "left": 0, "refusal": None}


def test_what_a_quota_leaves_of_several_runs_is_told(
    vld: Vld, store: Store, programs: Programs
) -> None:
    runs = [*packed(store), *packed(store, ("time", "30"))]
    leave(store, *runs)
    programs.complains("sbatch", "sbatch: error: QOSMaxSubmitJobPerUserLimit\n", after=1)
    told = vld("resume", *runs)
    assert told.exit_code == 1
    assert told.stdout.startswith(
        "submitted 2 runs as job 12\n2 runs not submitted: sbatch: QOSMax"
    )
    assert told.stdout.endswith("  Run vld resume again later.\n")
    assert [store.runs.get(run).status for run in runs] == [
        "queued",
        "queued",
        "stopped",
        "stopped",
    ]


def test_of_several_runs_none_is_submitted_when_one_cannot_be(
    vld: Vld, store: Store, programs: Programs, submitted: Run
) -> None:
    programs.says("squeue", RUNNING)
    first, second = packed(store)
    leave(store, first, second)
    before = programs.asked
    refused = vld("resume", first, submitted.run_id, second)
    assert refused.exit_code == 2
    assert "its job 7_0 has not ended" in refused.stderr
    assert {store.runs.get(run).status for run in (first, second)} == {"stopped"}
    assert not any(command.startswith("sbatch") for command in programs.asked[len(before) :])


def test_several_runs_go_on_here_one_after_another(
    vld: Vld, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vld_tui.control.queue.start_supervisor", lambda *_: None)
    runs = store.runs.create_many([resolve_spec({"seed": seed}) for seed in range(2)])
    leave(store, *runs)
    refused = vld("resume", *runs)
    assert refused.exit_code == 2
    assert "add --queue, or name only one run" in refused.stderr
    assert vld("resume", *runs, "--queue").exit_code == 0
    assert [run.run_id for run in store.queue.runs()] == runs
    again = vld("resume", runs[0], "--queue")
    assert again.exit_code == 2
    label = store.runs.get(runs[0]).label
    assert f"Run {label} is queued.\nRemove it from the queue first: vld stop {runs[0]}" in (
        again.stderr
    )


def test_what_a_quota_leaves_of_a_study_is_told(
    vld: Vld, programs: Programs, tmp_path: Path
) -> None:
    file = tmp_path / "rates.toml"
    file.write_text('name = "rates"\ndata = ["emoji"]\nseeds = 5\n[cross]\ntarget = ["noto"]\n')
    quota = "sbatch: error: QOSMaxSubmitJobPerUserLimit\n"
    programs.complains("sbatch", quota, after=1)
    programs.says("squeue", "".join(f"12_{index}|PENDING|Priority|\n" for index in range(3)))
    launched = vld("sweep", str(file), "--on", "slurm", "--json")
    assert launched.exit_code == 1
    record = json.loads(launched.stdout)
    there = [run["run"] for run in reversed(vld.json("ls"))]
    assert record["submitted"] == there, "three fill an array"
    assert (len(there), record["left"], record["arrays"]) == (3, 2, ["12"])
    assert record["refusal"].startswith("sbatch: QOSMaxSubmitJobPerUserLimit")
    assert record["missing"] == 5, "as it stood before"
    refused = vld("sweep", str(file), "--on", "slurm", "--json")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "Nothing was submitted: sbatch: QOSMax" in refused.stderr
    programs.says("sbatch", "Submitted batch job 13\n")
    told = vld("sweep", str(file), "--on", "slurm")
    assert (told.exit_code, told.stdout.splitlines()[-1]) == (0, "submitted 2 runs as job 13")
    programs.says(
        "squeue",
        "".join(
            f"{job}_{index}|PENDING|Priority|\n"
            for job, many in ((12, 3), (13, 2))
            for index in range(many)
        ),
    )
    nothing = vld.json("sweep", str(file), "--on", "slurm")
    assert (nothing["submitted"], nothing["left"], nothing["refusal"]) == ([], 0, None)


def test_an_interrupt_leaves_what_was_submitted_and_nothing_else(
    vld: Vld, programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "rates.toml"
    file.write_text('name = "rates"\ndata = ["emoji"]\nseeds = 5\n[cross]\ntarget = ["noto"]\n')
    submit = Cluster.submit

    def interrupted(cluster: Cluster, home: Home, runs: Sequence[str], need: Need) -> object:
        if len(runs) < 3:
            raise KeyboardInterrupt
        return submit(cluster, home, runs, need)

    monkeypatch.setattr(Cluster, "submit", interrupted)
    programs.says("squeue", "".join(f"12_{index}|PENDING|Priority|\n" for index in range(3)))
    broken = vld("sweep", str(file), "--on", "slurm")
    assert broken.exit_code == 130
    assert broken.stderr == (
        "Error: Interrupted: 3 of 5 runs submitted, as job 12.\n"
        "Launch the study again to submit the others.\n"
    )
    assert [run["status"] for run in vld.json("ls")] == ["queued"] * 3
