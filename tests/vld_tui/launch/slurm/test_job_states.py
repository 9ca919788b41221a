"""What a scheduler says of jobs becomes what history says of runs."""

from __future__ import annotations

import time

import msgspec
import pytest

from engine.protocol import RunStopped
from engine.rundir import ExitInfo, ProcessInfo, write_atomic
from tests.vld_tui.launch.slurm_programs import Programs
from tests.vld_tui.store.told_runs import Teller
from vld_tui.control.stop import stop
from vld_tui.home import Home
from vld_tui.launch.slurm.jobs import look_at_jobs
from vld_tui.runs.run import Run
from vld_tui.store.errors import StoreError
from vld_tui.store.store import Store

PENDING = "7_0|PENDING|Priority|\n"
RUNNING = "7_0|RUNNING|None|node3\n"


def ended(state: str, reason: str = "None") -> str:
    return (
        f"JobId=9 ArrayJobId=7 ArrayTaskId=0 JobName=x JobState={state} Reason={reason} "
        "NodeList=node3 ExitCode=0:0\n"
    )


def test_a_job_that_waits_is_a_queued_run_that_no_slot_here_takes(
    store: Store, programs: Programs, submitted: Run
) -> None:
    assert (submitted.status, submitted.job, submitted.has_job) == ("queued", "7_0", True)
    assert store.queue.runs() == []
    programs.says("squeue", PENDING)
    assert look_at_jobs(store) is None
    run = store.runs.get(submitted.run_id)
    assert (run.status, run.job_state, run.job_reason) == ("queued", "PENDING", "Priority")
    with pytest.raises(StoreError, match="is queued on a cluster"):
        store.queue.hold(run.run_id)
    with pytest.raises(StoreError, match="queued, and its job 7_0 has not ended"):
        store.queue.add(run.run_id)
    with pytest.raises(StoreError, match="belongs to job 7_0. Stop it first: vld stop"):
        store.trash.move(run.run_id)


def test_a_held_job_is_a_held_run(store: Store, programs: Programs, submitted: Run) -> None:
    programs.says("squeue", "7_0|PENDING|JobHeldUser|\n")
    look_at_jobs(store)
    assert store.runs.get(submitted.run_id).is_held
    programs.says("squeue", PENDING)
    look_at_jobs(store)
    assert not store.runs.get(submitted.run_id).is_held


def test_a_run_that_begins_on_a_node_is_heard(
    store: Store, programs: Programs, submitted: Run, teller: Teller
) -> None:
    programs.says("squeue", RUNNING)
    look_at_jobs(store)
    assert store.runs.get(submitted.run_id).status == "queued"  # the job prepares
    teller.starts()
    store.live.refresh()
    run = store.runs.get(submitted.run_id)
    assert (run.status, run.job_node, run.has_job) == ("running", "node3", True)
    teller.finishes()
    programs.says("squeue", "")
    programs.says("scontrol-job", ended("COMPLETED"))
    look_at_jobs(store)
    run = store.runs.get(submitted.run_id)
    assert (run.status, run.has_job, run.error) == ("finished", False, None)


def test_a_job_that_waits_again_goes_on_with_its_run(
    store: Store, programs: Programs, submitted: Run, teller: Teller
) -> None:
    programs.says("squeue", RUNNING)
    teller.starts()
    teller.says(RunStopped(step=4, reason="SIGTERM", wall_s=1.0))
    look_at_jobs(store)
    assert store.runs.get(submitted.run_id).status == "stopped"
    programs.says("squeue", "7_0|PENDING|BeginTime|\n")
    look_at_jobs(store)
    run = store.runs.get(submitted.run_id)
    assert (run.status, run.step, run.job_reason) == ("queued", 4, "BeginTime")
    programs.says("squeue", RUNNING)
    teller.starts(attempt=2, resumed_step=4)
    look_at_jobs(store)
    assert store.runs.get(submitted.run_id).status == "running"


def test_a_run_that_was_asked_to_stop_stays_stopped_while_its_job_waits_for_others(
    store: Store, programs: Programs, submitted: Run
) -> None:
    store.runs.run_dir(submitted.run_id).ask_to_stop("a test")
    store.jobs.take_out(submitted.run_id)
    programs.says("squeue", PENDING)
    look_at_jobs(store)
    assert store.runs.get(submitted.run_id).status == "stopped"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("NODE_FAIL", "the node failed"),
        ("OUT_OF_MEMORY", "killed for exceeding its memory: increase --mem"),
        ("TIMEOUT", "time limit reached"),
        ("FAILED", "failed"),
    ],
)
def test_a_job_that_ends_before_its_run_begins_says_why(
    store: Store, programs: Programs, submitted: Run, state: str, words: str
) -> None:
    programs.says("scontrol-job", ended(state))
    look_at_jobs(store)
    run = store.runs.get(submitted.run_id)
    assert run.status == "crashed"
    assert run.error is not None
    assert f"job 7_0 ended on node3: {words}" in run.error
    is_asked = f"is {store.home.path} accessible from the nodes?" in run.error
    assert is_asked == (state == "FAILED")
    assert not run.has_job


def test_what_the_job_wrote_tells_more(store: Store, programs: Programs, submitted: Run) -> None:
    (store.home.path / "job.log").write_text("No module named vld_tui\n")
    programs.says("scontrol-job", ended("FAILED"))
    look_at_jobs(store)
    run = store.runs.get(submitted.run_id)
    assert run.error is not None
    assert run.error.endswith("No module named vld_tui")


@pytest.mark.parametrize("said", ["", "sh: module: command not found\n"])
def test_a_job_that_ends_before_its_run_begins_names_its_exit_code_and_its_log(
    store: Store, programs: Programs, submitted: Run, said: str
) -> None:
    log = store.home.path / "job.log"
    log.write_text(said)
    programs.says("squeue", "7_0|FAILED|NonZeroExitCode|node3\n")
    programs.says(
        "scontrol-job",
        "JobId=9 ArrayJobId=7 ArrayTaskId=0 JobState=FAILED Reason=NonZeroExitCode NodeList=node3 "
        "ExitCode=3:0\n",
    )
    look_at_jobs(store)
    assert store.runs.get(submitted.run_id).error == "\n".join(
        [
            "no process started the run: job 7_0 ended on node3: failed (exit code 3). It ended "
            f"before the run started; see {log}",
            *said.splitlines(),
        ]
    )


def test_a_job_that_slurm_forgot_is_over(store: Store, programs: Programs, submitted: Run) -> None:
    programs.complains("scontrol-job", "slurm_load_jobs error: Invalid job id specified\n")
    assert look_at_jobs(store) is None
    run = store.runs.get(submitted.run_id)
    assert (run.status, run.has_job) == ("crashed", False)
    assert run.error is not None
    assert (
        "the reason is unknown. It wrote no log: was it cancelled while pending, or " in run.error
    )


def test_a_cancelled_job_leaves_a_stopped_run(
    store: Store, programs: Programs, submitted: Run
) -> None:
    programs.says("scontrol-job", ended("CANCELLED"))
    look_at_jobs(store)
    run = store.runs.get(submitted.run_id)
    assert (run.status, run.error, run.has_job) == ("stopped", None, False)


def test_an_array_cancelled_while_it_waited_leaves_stopped_runs(
    store: Store, programs: Programs, submitted: Run
) -> None:
    together = "JobId=7 ArrayJobId=7 ArrayTaskId=4294967294 JobState=CANCELLED Reason=None\n"
    programs.says("squeue", "7|CANCELLED|None|\n")
    programs.says("scontrol-job", together)
    look_at_jobs(store)
    run = store.runs.get(submitted.run_id)
    assert (run.status, run.job_state, run.has_job) == ("stopped", "CANCELLED", False)


@pytest.mark.parametrize("is_lost", [False, True])
@pytest.mark.parametrize("state", ["CANCELLED", "NODE_FAIL", "stopped by a person"])
def test_what_ended_before_it_began_stays_so_when_history_is_read_anew(
    home: Home, store: Store, programs: Programs, submitted: Run, state: str, is_lost: bool
) -> None:
    if state.isupper():
        programs.says("scontrol-job", ended(state))
        look_at_jobs(store)
    else:
        stop(store, submitted.run_id)
    before = store.runs.get(submitted.run_id)
    assert before.status == ("crashed" if state == "NODE_FAIL" else "stopped")
    if is_lost:
        store.close()
        for path in home.path.glob("vld.db*"):
            path.unlink()
    with Store.open(home) as anew:
        anew.folders.rebuild()
        after = anew.runs.get(submitted.run_id)
        assert (after.status, after.job) == (before.status, "7_0")
        assert ("the node failed" in (after.error or "")) is (state == "NODE_FAIL")
        assert anew.queue.runs() == []


def test_a_crash_says_how_the_job_ended(
    store: Store, programs: Programs, submitted: Run, teller: Teller
) -> None:
    teller.starts()
    elsewhere = ProcessInfo(pid=4_000_000, started_at=time.time() - 900, host="node3")
    write_atomic(teller.run_dir.process, msgspec.json.encode(elsewhere))
    teller.run_dir.write_exit(ExitInfo(-9, time.time(), 4_000_000, memory_limit=True))
    programs.says("scontrol-job", ended("OUT_OF_MEMORY"))
    for _ in range(2):  # its death is noticed, then explained
        look_at_jobs(store)
        store.live.refresh()
    run = store.runs.get(submitted.run_id)
    assert run.status == "crashed"
    assert run.error is not None
    assert run.error.startswith("killed: out of memory")
    assert "job 7_0 ended on node3" in run.error
    assert not run.has_job


def test_a_job_that_ended_by_itself_explains_no_crash(
    store: Store, programs: Programs, submitted: Run, teller: Teller
) -> None:
    teller.starts()
    elsewhere = ProcessInfo(pid=4_000_000, started_at=time.time() - 900, host="node3")
    write_atomic(teller.run_dir.process, msgspec.json.encode(elsewhere))
    teller.run_dir.write_exit(ExitInfo(-11, time.time(), 4_000_000))
    programs.says("scontrol-job", ended("COMPLETED"))
    for _ in range(2):  # its death is noticed, then its job's end
        look_at_jobs(store)
    run = store.runs.get(submitted.run_id)
    assert (run.status, run.has_job) == ("crashed", False)
    assert run.error is not None
    assert "killed by SIGSEGV" in run.error
    assert "is over" not in run.error


def test_a_scheduler_that_does_not_answer_changes_nothing(
    store: Store, programs: Programs, submitted: Run
) -> None:
    programs.complains("squeue", "squeue: error: Unable to contact slurm controller\n")
    problem = look_at_jobs(store)
    assert problem == "squeue: Unable to contact slurm controller"
    assert store.runs.get(submitted.run_id) == submitted


def test_without_jobs_nobody_is_asked(store: Store, programs: Programs) -> None:
    assert look_at_jobs(store) is None
    assert not (programs.folder / "asked").exists()


def test_history_read_anew_knows_the_jobs(store: Store, programs: Programs, submitted: Run) -> None:
    store.home.database.with_name("vld.db")
    store.folders.rebuild()
    assert store.runs.get(submitted.run_id) == submitted
    store.close()
    for path in store.home.path.glob("vld.db*"):
        path.unlink()
    with Store.open(store.home) as anew:
        anew.folders.rebuild()
        run = anew.runs.get(submitted.run_id)
        assert (run.status, run.job, run.has_job) == ("queued", "7_0", True)
        programs.says("squeue", PENDING)
        look_at_jobs(anew)
        assert anew.runs.get(run.run_id).job_state == "PENDING"


def test_a_job_that_squeue_hides_and_scontrol_knows_is_not_over(
    store: Store, programs: Programs, submitted: Run
) -> None:
    programs.says("scontrol-job", ended("RUNNING"))
    look_at_jobs(store)
    run = store.runs.get(submitted.run_id)
    assert (run.status, run.has_job, run.job_state) == ("queued", True, "RUNNING")
    assert any(command.startswith("squeue --all ") for command in programs.asked)


def test_a_banner_on_squeues_answer_is_no_job(
    store: Store, programs: Programs, submitted: Run
) -> None:
    programs.says("squeue", f"Maintenance on Friday!\n{RUNNING}")
    assert look_at_jobs(store) is None
    assert store.runs.get(submitted.run_id).job_state == "RUNNING"
