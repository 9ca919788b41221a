from __future__ import annotations

import functools
import pickle
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from submitit.core.utils import DelayedSubmission

from engine.protocol import resolve_spec
from tests.vld_tui.launch.slurm_programs import Programs
from tests.vld_tui.store.told_runs import Teller
from vld_tui.control.queue import hold
from vld_tui.control.start import submit_again
from vld_tui.control.stop import stop
from vld_tui.launch.slurm import commands, submit
from vld_tui.launch.slurm.commands import SlurmError
from vld_tui.launch.slurm.jobs import BATCH_FILE, Batch, find_lost_batches, look_at_jobs
from vld_tui.launch.slurm.pack import Pack
from vld_tui.launch.slurm.settings import make_settings
from vld_tui.launch.slurm.submit import USUAL_NEED, Cluster, submit_runs
from vld_tui.runs.run import Run
from vld_tui.store.errors import StoreError
from vld_tui.store.store import Store
from vld_tui.views.queue import stopped_text


def make_runs(store: Store, count: int) -> list[str]:
    return store.runs.create_many([resolve_spec({"seed": seed}) for seed in range(count)])


def jobs_of(store: Store, runs: Sequence[str]) -> list[str | None]:
    return [store.runs.get(run).job for run in runs]


def script_of(store: Store) -> str:
    (path,) = store.home.jobs.glob("*/*_submission.sh")
    return path.read_text()


def test_a_study_becomes_arrays_no_longer_than_the_cluster_takes(
    store: Store, programs: Programs
) -> None:
    runs = make_runs(store, 7)
    submission = submit_runs(store, Cluster(make_settings({})), runs)
    assert submission.submitted == tuple(runs)
    assert submission.left == ()
    assert jobs_of(store, runs) == ["12_0", "12_1", "12_2", "12_0", "12_1", "12_2", "12"]
    assert {store.runs.get(run).status for run in runs} == {"queued"}
    info = store.runs.run_dir(runs[1]).read_job()
    assert info is not None
    assert info.job_id == "12_1"


def test_runs_are_packed_into_jobs(store: Store, programs: Programs) -> None:
    runs = make_runs(store, 5)
    submit_runs(store, Cluster(make_settings({"pack": "2"})), runs)
    assert jobs_of(store, runs) == ["12_0", "12_0", "12_1", "12_1", "12_2"]


def test_what_is_asked_of_the_cluster_stands_in_the_script(
    store: Store, programs: Programs
) -> None:
    programs.says("scontrol-partition", "PartitionName=gpu MaxTime=UNLIMITED\n")
    settings = make_settings(
        {
            "partition": "gpu", "account": "me", "qos": "long", "time": "1-12", "cpus": "4",
            "gpus_per_run": "2", "mem": "32G", "array_parallelism": "2",
            "setup": ["module load cuda"], "env": ["A=b c"],
            "sbatch": ["constraint=a100", "exclusive"],
        }
    )  # fmt: skip
    submit_runs(store, Cluster(settings), make_runs(store, 3))
    script = script_of(store)
    for line in (
        "--partition=gpu", "--account=me", "--qos=long", "--time=2160", "--cpus-per-task=4",
        "--gres=gpu:2", "--mem=32G", "--array=0-2%2", "--constraint=a100", "--exclusive",
        "--requeue", "--signal=USR2@120",
    ):  # fmt: skip
        assert f"#SBATCH {line}\n" in script
    assert "module load cuda\nexport A='b c'\n" in script


def test_a_job_without_a_time_takes_its_partitions(store: Store, programs: Programs) -> None:
    submit_runs(store, Cluster(make_settings({})), make_runs(store, 1))
    assert "#SBATCH --time=90\n" in script_of(store)


def test_a_cluster_that_refuses_gets_nothing_and_says_why(store: Store, programs: Programs) -> None:
    programs.complains(
        "sbatch",
        "sbatch: error: invalid partition specified: gpux\n"
        "sbatch: error: Batch job submission failed: Invalid partition name specified\n",
    )
    runs = make_runs(store, 2)
    with pytest.raises(SlurmError) as refused:
        submit_runs(store, Cluster(make_settings({})), runs)
    assert str(refused.value).startswith(
        "Nothing was submitted: sbatch: invalid partition specified: gpux; Batch job submission "
        "failed: Invalid partition name specified\n"
        "List the cluster's resources with: sinfo --format="
    )
    assert store.jobs.open() == []
    assert list(store.home.jobs.iterdir()) == []


def test_a_limit_hit_half_way_leaves_the_rest_known(store: Store, programs: Programs) -> None:
    programs.complains("sbatch", "sbatch: error: QOSMaxSubmitJobPerUserLimit\n", after=1)
    runs = make_runs(store, 7)
    submission = submit_runs(store, Cluster(make_settings({})), runs)
    assert submission.submitted == tuple(runs[:3])
    assert submission.left == tuple(runs[3:])
    assert submission.refusal is not None
    assert "QOSMaxSubmitJobPerUserLimit" in submission.refusal
    assert [each.run_id for each in store.jobs.open()] == runs[:3]


def test_a_full_queue_is_said_to_be_while_it_lasts_and_after(
    store: Store, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit, "_SLOW_S", 0.0)
    is_slow = threading.Event()
    programs.complains(
        "sbatch",
        "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying\n"
        "sbatch: error: Batch job submission failed: Resource temporarily unavailable\n",
    )
    with pytest.raises(SlurmError) as refused:
        submit_runs(store, Cluster(make_settings({}), is_slow.set), make_runs(store, 2))
    assert str(refused.value) == (
        "Nothing was submitted: the cluster's queue is full (MaxJobCount); sbatch retried for two "
        "minutes."
    )
    assert is_slow.wait(60)


def test_no_more_jobs_than_the_accounting_allows(
    store: Store, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "most_submitted", lambda: 5)
    programs.says("squeue", "1|RUNNING|None|n\n2|PENDING|Priority|\n")
    runs = make_runs(store, 5)
    submission = submit_runs(store, Cluster(make_settings({})), runs)
    assert submission.submitted == tuple(runs[:3])
    assert submission.refusal is not None
    assert "MaxSubmitJobs" in submission.refusal


def test_a_submission_that_nobody_recorded_is_found_again(store: Store, programs: Programs) -> None:
    runs = make_runs(store, 3)
    batch, folder = Cluster(make_settings({})).submit(
        store.home, runs, USUAL_NEED
    )  # and nothing more
    assert jobs_of(store, runs) == [None, None, None]
    store.trash.discard(runs[2])
    programs.says("squeue", f"other|5|5\n{batch.name}|33|12\n")
    find_lost_batches(store)
    assert jobs_of(store, runs[:2]) == ["12_0", "12_1"]
    assert {store.runs.get(run).status for run in runs[:2]} == {"queued"}
    found = msgspec.json.decode((folder / BATCH_FILE).read_bytes(), type=Batch)
    assert found.job_id == "12"


def test_a_run_that_is_finished_when_its_submission_is_found_stays_so(
    store: Store, programs: Programs
) -> None:
    (run,) = make_runs(store, 1)
    batch, _ = Cluster(make_settings({})).submit(store.home, [run], USUAL_NEED)
    teller = Teller(store.runs.run_dir(run))
    teller.starts()
    teller.finishes()
    store.live.refresh()
    programs.says("squeue", f"{batch.name}|12|N/A\n")
    find_lost_batches(store)
    programs.says("squeue", "12|COMPLETED|None|node3\n")
    look_at_jobs(store)
    found = store.runs.get(run)
    assert (found.status, found.job, found.has_job) == ("finished", "12", False)


@pytest.mark.parametrize("time", [{}, {"time": "60"}])
def test_a_partition_that_is_not_there_is_told_from_those_that_are(
    programs: Programs, time: dict[str, str]
) -> None:
    with pytest.raises(
        SlurmError, match=r"No partition 'mian' .* Did you mean main\? Partitions: m"
    ):
        Cluster(make_settings({"partition": "mian", **time}))


UNRESOLVED = "getaddrinfo() failed: Name or service not known: Invalid argument, attempt number"
DOWN = """\
Slurmctld(primary) at n1 is DOWN
Slurmctld(backup1) at n2 is DOWN
*****************************************
** RESTORE SLURMCTLD DAEMON TO SERVICE **
*****************************************
"""


@pytest.mark.parametrize(
    ("told", "complained", "why"),
    [
        (DOWN, "", "it is down on n1, n2"),
        (
            DOWN,
            "".join(f"scontrol: error: get_addr_info: {UNRESOLVED} {n}\n" for n in range(-4, 6)),
            "it is down on n1, n2",
        ),
        (
            DOWN,
            "scontrol: error: If munged is up, restart with --num-threads=10\n"
            "scontrol: error: Munge encode failed: Failed to access /run/munge/munge.socket.2\n",
            "munge is not running on this machine, so Slurm cannot authenticate you",
        ),
        (
            "",
            "scontrol: error: resolve_ctls_from_dns_srv: res_nsearch error: Unknown host\n"
            "scontrol: error: fetch_config: DNS SRV lookup failed\n"
            "scontrol: fatal: Could not establish a configuration source\n",
            "Could not establish a configuration source",
        ),
        ("", "", "no reason given"),
    ],
)
def test_a_controller_that_is_away_is_asked_nothing_more(
    store: Store, programs: Programs, submitted: Run, told: str, complained: str, why: str
) -> None:
    words = (
        f"Slurm's controller does not answer: {why}. Try again, or contact the cluster's "
        "administrators."
    )
    programs.complains("scontrol", complained, told=told)
    for act in (functools.partial(stop, kill=True), functools.partial(hold, is_held=True)):
        with pytest.raises(SlurmError) as refused:
            act(store, submitted.run_id)
        assert str(refused.value) == words
    assert look_at_jobs(store) == words
    assert set(programs.asked) == {"scontrol ping"}
    assert store.runs.run_dir(submitted.run_id).read_stop() is None


def test_a_run_that_waits_is_passed_over_when_it_is_stopped_while_the_controller_is_away(
    store: Store, programs: Programs, submitted: Run
) -> None:
    programs.complains("scontrol", "", told=DOWN)
    done = stop(store, submitted.run_id)
    assert (done.how, done.leaves_job, done.is_slurm_away) == ("dequeued", True, True)
    assert stopped_text(done) == (
        "was removed from the queue; Slurm's controller does not answer; job 7_0 was not "
        "cancelled, and will skip the run"
    )
    run = store.runs.get(submitted.run_id)
    assert (run.status, run.has_job) == ("stopped", True)
    assert store.runs.run_dir(run.run_id).read_stop() is not None
    programs.says("scontrol", "")
    programs.says("squeue", "7_0|PENDING|Priority|\n")
    look_at_jobs(store)
    assert store.runs.get(run.run_id).status == "stopped"


def test_a_job_that_waits_is_cancelled_when_its_only_run_is_stopped(
    store: Store, programs: Programs, submitted: Run
) -> None:
    stop(store, submitted.run_id)
    assert "scancel --quiet 7_0" in programs.asked
    assert store.runs.get(submitted.run_id).status == "stopped"
    assert store.runs.run_dir(submitted.run_id).read_stop() is not None


def test_a_job_of_several_runs_goes_on_without_the_one_that_is_stopped(
    store: Store, programs: Programs
) -> None:
    runs = make_runs(store, 2)
    submit_runs(store, Cluster(make_settings({"pack": "2"})), runs)
    stop(store, runs[0])
    assert not any(command.startswith("scancel") for command in programs.asked)
    assert [store.runs.get(run).status for run in runs] == ["stopped", "queued"]


def test_a_job_is_held_and_released(store: Store, programs: Programs, submitted: Run) -> None:
    programs.says("squeue", "7_0|PENDING|JobHeldUser|\n")
    hold(store, submitted.run_id, is_held=True)
    assert "scontrol hold 7_0" in programs.asked
    assert store.runs.get(submitted.run_id).is_held
    hold(store, submitted.run_id, is_held=False)
    assert "scontrol release 7_0" in programs.asked


def test_a_run_that_is_over_is_submitted_again_as_before_and_no_other(
    store: Store, programs: Programs, submitted: Run
) -> None:
    programs.says("squeue", "7_0|PENDING|Priority|\n")
    with pytest.raises(SlurmError, match="is queued, but its job 7_0 has not ended"):
        submit_again(store, [submitted.run_id])
    stop(store, submitted.run_id)
    programs.says("squeue", "")
    programs.says("scontrol-job", "JobId=9 ArrayJobId=7 ArrayTaskId=0 JobState=CANCELLED\n")
    submit_again(store, [submitted.run_id])
    run = store.runs.get(submitted.run_id)
    assert (run.job, run.status) == ("12", "queued")
    assert store.runs.run_dir(run.run_id).read_stop() is None
    assert "#SBATCH --time=60\n" in script_of(store)


def test_without_slurm_it_says_where_to_go(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SlurmError, match="Slurm is not installed on this machine"):
        Cluster(make_settings({}))


def test_runs_of_several_gpus_or_machines_get_jobs_of_their_own(
    store: Store, programs: Programs
) -> None:
    specs = [
        resolve_spec({"gpus": 4, "nodes": 2}),
        resolve_spec({"seed": 1}),
        resolve_spec({"gpus": 2, "device": "cpu"}),
    ]
    runs = store.runs.create_many(specs)
    submission = submit_runs(store, Cluster(make_settings({"cpus": "8"})), runs)
    assert submission.submitted == (runs[1], runs[2], runs[0])
    scripts = [path.read_text() for path in store.home.jobs.glob("*/*_submission.sh")]
    (of_many,) = (script for script in scripts if "--nodes=2" in script)
    (usual,) = (script for script in scripts if "--nodes=2" not in script)
    for line in ("--gres=gpu:4", "--ntasks-per-node=1", "--signal=B:USR2@120", "--cpus-per-task=8"):
        assert f"#SBATCH {line}\n" in of_many
    assert "\nexec " in of_many
    assert "srun" not in of_many
    assert "#SBATCH --gres=gpu:1\n" in usual
    assert "\nsrun " in usual


def test_runs_of_several_gpus_do_not_share_them(store: Store, programs: Programs) -> None:
    runs = store.runs.create_many([resolve_spec({"gpus": 2})])
    with pytest.raises(SlurmError, match="cannot share them"):
        submit_runs(store, Cluster(make_settings({"runs_per_gpu": "2"})), runs)


def test_what_another_login_node_made_is_known_before_more_is_submitted(
    store: Store, programs: Programs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VLD_DATABASES", str(tmp_path / "another"))
    with Store.open(store.home) as other:
        assert other.runs.find() == []
        runs = make_runs(store, 2)
        submit_runs(store, Cluster(make_settings({})), runs)
        other.folders.take_in_others()
        assert {run.run_id for run in other.runs.find()} == set(runs)
        assert jobs_of(other, runs) == ["12_0", "12_1"]
        for run in runs:
            other.jobs.close(run)
        programs.says("sbatch", "Submitted batch job 99\n")
        store.jobs.close(runs[0])
        submit_runs(store, Cluster(make_settings({})), runs[:1])  # again, from there
        other.folders.take_in_others()
        assert jobs_of(other, runs) == ["99", "12_1"]


def test_a_run_that_was_asked_to_stop_is_let_go_on_when_it_is_submitted(
    store: Store, programs: Programs
) -> None:
    runs = make_runs(store, 1)
    store.runs.run_dir(runs[0]).ask_to_stop("a test")
    submit_runs(store, Cluster(make_settings({})), runs)
    assert store.runs.run_dir(runs[0]).read_stop() is None


@pytest.mark.parametrize("name", ["SLURM_CLUSTERS", "SBATCH_CLUSTERS"])
def test_jobs_are_not_sent_to_another_cluster_than_is_asked(
    programs: Programs, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "far")
    with pytest.raises(SlurmError, match=f"{name} is set"):
        Cluster(make_settings({}))


def test_an_answer_that_nobody_can_read_keeps_what_may_have_been_submitted(
    store: Store, programs: Programs
) -> None:
    runs = make_runs(store, 1)
    programs.says("sbatch", "12\n")
    with pytest.raises(StoreError, match="may have been submitted under the name vld-"):
        submit_runs(store, Cluster(make_settings({})), runs)
    (folder,) = store.home.jobs.iterdir()
    programs.says("squeue", f"{folder.name}|12|12\n")
    find_lost_batches(store)
    assert jobs_of(store, runs) == ["12"]


@pytest.mark.parametrize("count", [1, 3])
def test_jobs_that_were_taken_unheard_find_what_they_are_to_do(
    store: Store, programs: Programs, count: int
) -> None:
    runs = make_runs(store, 2 * count)
    programs.says("sbatch", "12\n")
    with pytest.raises(StoreError):
        submit_runs(store, Cluster(make_settings({"pack": "2"})), runs)
    (folder,) = store.home.jobs.iterdir()
    assert not list(folder.glob("*_submitted.pkl"))
    assert not folder.stat().st_mode & 0o022  # its jobs do what is in it
    programs.says("squeue", f"{folder.name}|12|12\n")
    ran = plant_code(folder)
    find_lost_batches(store)
    assert not ran.exists()
    for first, second in zip(runs[::2], runs[1::2], strict=True):
        task = DelayedSubmission.load(folder / f"{jobs_of(store, [first])[0]}_submitted.pkl")
        assert isinstance(task.function, Pack)
        assert [Path(run).name for run in task.function.folders] == [first, second]


class Touches:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._path,)


def plant_code(folder: Path) -> Path:
    """Leave code where submitit keeps what a job is to do; return the file it would make."""
    made = folder / "made"
    for path in [*folder.glob("*.pkl"), folder / f"{0:032x}.pkl"]:
        path.write_bytes(pickle.dumps(Touches(made)))
    return made


def test_looking_at_jobs_runs_nothing_that_somebody_planted(
    store: Store, programs: Programs, submitted: Run
) -> None:
    folder = store.home.jobs / "planted"
    folder.mkdir(parents=True)
    batches = {
        "own": Batch("own", 0.0, ((submitted.run_id,),), {}),
        "elsewhere": Batch("elsewhere", 0.0, (("../../etc",),), {}),
        "unknown": Batch("unknown", 0.0, ((submitted.run_id,),), {"no_such": 1}),
    }
    programs.says("squeue", "".join(f"{name}|9{n}|N/A\n" for n, name in enumerate(batches)))
    ran = plant_code(folder)
    for batch in batches.values():
        (folder / BATCH_FILE).write_bytes(msgspec.json.encode(batch))
        look_at_jobs(store)
    assert not ran.exists()


TOKEN = "hf_" + "a1B2" * 8


@pytest.mark.parametrize("env", [["HF_TOKEN", "A=b"], [f"HF_TOKEN={TOKEN}", "A=b"]])
def test_a_secret_reaches_the_jobs_and_is_written_nowhere(
    store: Store, programs: Programs, monkeypatch: pytest.MonkeyPatch, env: list[str]
) -> None:
    if env[0] == "HF_TOKEN":
        monkeypatch.setenv("HF_TOKEN", TOKEN)
    heard = programs.folder / "heard"
    sbatch = programs.folder / "sbatch"
    sbatch.write_text(f'#!/bin/sh\nprintenv HF_TOKEN > {heard}\necho "Submitted batch job 12"\n')
    (run,) = make_runs(store, 1)
    submit_runs(store, Cluster(make_settings({"env": env, "sbatch": ["export=NONE"]})), [run])
    assert heard.read_text() == f"{TOKEN}\n"
    script = script_of(store)
    assert "#SBATCH --export=HF_TOKEN\n" in script
    assert "export A=b\n" in script
    kept = [path for path in store.home.path.rglob("*") if path.is_file()]
    assert not [path for path in kept if TOKEN.encode() in path.read_bytes()]
    job = store.runs.run_dir(run).read_job()
    assert job is not None
    assert job.settings["env"] == ["HF_TOKEN", "A=b"]


def test_a_variable_to_pass_on_must_be_set(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(SlurmError, match="env lists HF_TOKEN, which is not set"):
        Cluster(make_settings({"env": ["HF_TOKEN"]}))
