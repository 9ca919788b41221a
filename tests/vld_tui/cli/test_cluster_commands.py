"""``vld stop`` and ``vld resume`` of runs that were given to a cluster, and what a quota leaves."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import msgspec
import pytest

from engine.protocol import resolve_spec
from engine.rundir import ProcessInfo, RunDir, write_atomic
from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.slurm_programs import Programs
from tests.vld_tui.store.told_runs import Teller, started, stopped
from vld_tui.actions import LocalActions
from vld_tui.launch.local import launch
from vld_tui.slurm.settings import make_settings
from vld_tui.slurm.submit import Cluster, submit_runs
from vld_tui.store.runs import Run
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
    first, second = store.create_runs([resolve_spec({"seed": seed}) for seed in range(2)])
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
        f"{submitted.run_id} waits for job 7_0 no longer; the job itself was not cancelled\n",
    )
    run = store.get(submitted.run_id)
    assert (run.status, run.has_job) == ("stopped", False)
    assert store.run_dir(run.run_id).read_stop() is not None
    again = vld("stop", submitted.run_id)
    assert again.exit_code == 2
    assert "is not running: it is stopped" in again.stderr


@pytest.mark.usefixtures("nowhere")
def test_without_slurm_a_run_on_a_node_is_asked_through_its_folder(
    vld: Vld, store: Store, submitted: Run
) -> None:
    run_dir = store.run_dir(submitted.run_id)
    goes_on(run_dir)
    refused = vld("stop", "--kill", submitted.run_id)
    assert refused.exit_code == 2
    assert "was started on node3: kill it there, as process 4321" in refused.stderr
    assert "without --kill" in refused.stderr
    assert run_dir.read_stop() is None
    assert store.get(submitted.run_id).has_job
    assert vld("stop", submitted.run_id).stdout == (
        f"{submitted.run_id} was asked to stop on node3: it ends after its step; "
        "job 7_0 itself was not cancelled\n"
    )
    assert run_dir.read_stop() is not None
    Teller(run_dir).says(stopped(4))
    run = store.get(submitted.run_id)
    assert (run.status, run.has_job) == ("stopped", False)


@pytest.mark.usefixtures("nowhere")
def test_without_slurm_a_run_whose_node_is_this_machine_is_killed(
    vld: Vld, store: Store, submitted: Run
) -> None:
    run_dir = store.run_dir(submitted.run_id)
    process = launch(run_dir, [sys.executable, "-c", "import time; time.sleep(60)"])
    Teller(run_dir).says(started())
    try:
        told = vld("stop", "--kill", submitted.run_id).stdout
        assert process.wait(timeout=60) == -9
    finally:
        process.kill()
        process.wait()
    assert told == f"{submitted.run_id} was killed; job 7_0 itself was not cancelled\n"
    assert run_dir.read_stop() is not None, "its job would go on with it"


def test_a_killed_job_takes_along_what_else_was_in_it(
    vld: Vld, store: Store, programs: Programs
) -> None:
    first, second = packed(store)
    programs.says("squeue", "12|PENDING|Priority|\n")
    told = vld("stop", "--kill", first).stdout
    assert told == f"{first} was cancelled with job 12, and with it {second}\n"
    assert "scancel 12" in programs.asked


def test_the_dashboard_says_what_became_of_a_run_with_a_job(
    store: Store, programs: Programs, submitted: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on(store.run_dir(submitted.run_id))
    store.refresh()
    actions = LocalActions(store.home)
    asked = actions.interrupt(submitted.run_id)
    assert asked == "first was asked to stop on node3: it ends after its step"
    assert actions.kill(submitted.run_id) == "first was killed with job 7_0"
    assert "scancel --signal=KILL 7_0" in programs.asked
    monkeypatch.setenv("PATH", "/nowhere")
    assert actions.interrupt(submitted.run_id).endswith("job 7_0 itself was not cancelled")
