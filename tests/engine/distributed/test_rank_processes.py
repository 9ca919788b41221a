"""A run on two processes: it ends as one does, whatever becomes of its processes."""

from __future__ import annotations

import ipaddress
import multiprocessing
import os
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from engine.protocol import (
    AnyEvent,
    CheckpointSaved,
    Evaluated,
    ModelPrepared,
    RunFailed,
    RunFinished,
    RunStarted,
    RunStopped,
    StepsTaken,
)
from engine.rundir import RunDir
from tests.engine.distributed.rank_processes import START_METHOD
from tests.small_runs import MakeRun, read_events, run_here, start_engine
from tests.waiting import wait_until

DEADLINE_S = 240.0
STRANGER_S = 1.0
WORKER = "engine.distributed.worker"
SRUN = """#!/bin/sh
# As Slurm's srun with --ntasks=2, both on this machine.
while [ "${1#--}" != "$1" ]; do shift; done
"$@" & first=$!
"$@" & second=$!
wait $first || failed=1
wait $second || failed=1
exit ${failed:-0}
"""


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Return a function that starts the real engine; what is left of it is ended."""
    started: list[subprocess.Popen[bytes]] = []

    def start_launcher(
        run_dir: RunDir, *arguments: str, **variables: str
    ) -> subprocess.Popen[bytes]:
        process = start_engine(run_dir, *arguments, **variables)
        started.append(process)
        return process

    yield start_launcher
    for process in started:
        process.kill()
        process.wait()


Start = Callable[..., subprocess.Popen[bytes]]


def wait_for_step(run_dir: RunDir, step: int) -> None:
    def is_there() -> bool:
        events = read_events(run_dir)
        assert not isinstance(events[-1] if events else None, RunFailed), events[-1]
        return any(isinstance(event, StepsTaken) and event.step >= step for event in events)

    wait_until(is_there, DEADLINE_S)


def processes_of(run_dir: RunDir) -> list[psutil.Process]:
    """Return every process that has the run's folder on its command line."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if str(run_dir.path) in words and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def ranks_of(run_dir: RunDir) -> dict[int, psutil.Process]:
    workers = [each for each in processes_of(run_dir) if WORKER in each.cmdline()]
    return {int(each.environ()["RANK"]): each for each in workers}


def last_event(run_dir: RunDir) -> AnyEvent:
    return read_events(run_dir)[-1]


def losses(run_dir: RunDir) -> dict[tuple[int, str, str], float | None]:
    """Return the losses of every evaluation, the last ones told winning."""
    return {
        (event.step, metric.split, metric.domain): metric.value
        for event in read_events(run_dir)
        if isinstance(event, Evaluated)
        for metric in event.metrics
        if metric.name == "loss"
    }


def test_a_rank_that_is_killed_ends_the_run_which_says_which(
    make_run: MakeRun, start: Start
) -> None:
    run_dir = make_run(gpus=2, steps=100_000, head_steps=0)
    process = start(run_dir)
    wait_for_step(run_dir, 4)
    ranks_of(run_dir)[1].kill()
    assert process.wait(DEADLINE_S) == 1
    failed = last_event(run_dir)
    assert isinstance(failed, RunFailed)
    assert failed.message.startswith(f"Rank 1 on {os.uname().nodename} was killed (signal 9)")
    assert not failed.refused
    assert not processes_of(run_dir)
    assert not run_dir.ranks.exists()
    seqs = [event.seq for event in read_events(run_dir)]
    assert seqs == list(range(len(seqs)))


def test_no_other_user_reaches_what_the_ranks_tell_one_another(
    make_run: MakeRun, start: Start
) -> None:
    run_dir = make_run(gpus=2, steps=100_000, head_steps=0)
    process = start(run_dir)
    wait_for_step(run_dir, 2)
    listening = ports_of(run_dir)
    assert len(listening) >= 2
    for host, port in listening:
        assert ipaddress.ip_address(host).is_loopback
        assert not is_store(host, port)
    assert stat.S_IMODE(run_dir.ranks.stat().st_mode) == 0o700
    assert stat.S_IMODE((run_dir.ranks / "secret").stat().st_mode) == 0o600
    taken = max(each.step for each in read_events(run_dir) if isinstance(each, StepsTaken))
    wait_for_step(run_dir, taken + 3)  # strangers at its ports did not disturb it
    process.terminate()
    assert process.wait(DEADLINE_S) == 130


def is_store(host: str, port: int) -> bool:
    """Say whether whoever connects to an address can read and write a store of torch's there."""
    stranger = multiprocessing.get_context(START_METHOD).Process(
        target=TCPStore, args=(host, port), kwargs={"is_master": False}
    )
    stranger.start()
    stranger.join(STRANGER_S)  # the client itself waits without end for an answer
    stranger.kill()
    stranger.join()
    return stranger.exitcode == 0


def ports_of(run_dir: RunDir) -> list[tuple[str, int]]:
    """Return the addresses at which processes of the run listen."""
    return [
        (each.laddr.ip, each.laddr.port)
        for process in processes_of(run_dir)
        for each in process.net_connections("inet")
        if each.status == psutil.CONN_LISTEN
    ]


@pytest.mark.slow
def test_asked_to_stop_all_ranks_save_and_one_process_goes_on(
    make_run: MakeRun, start: Start
) -> None:
    fields = {"steps": 100, "eval_every": 50, "optimizer": "sgd"}  # rounding grows slowly
    whole = make_run("whole", **fields)
    run_here(whole)
    run_dir = make_run("stopped", gpus=2, **fields)
    process = start(run_dir)
    wait_for_step(run_dir, 4)
    process.terminate()
    assert process.wait(DEADLINE_S) == 130
    stopped = last_event(run_dir)
    assert isinstance(stopped, RunStopped)
    assert stopped.reason == "SIGTERM"
    assert not run_dir.stop.exists()
    assert not processes_of(run_dir)
    assert start(run_dir, "--gpus", "1").wait(DEADLINE_S) == 0
    assert isinstance(last_event(run_dir), RunFinished)
    assert losses(run_dir) == pytest.approx(losses(whole), rel=1e-4)
    prepared = [event for event in read_events(run_dir) if isinstance(event, ModelPrepared)]
    assert [event.ranks for event in prepared] == [2, 1]
    assert run_dir.read_spec().gpus == 2


@pytest.mark.slow
def test_a_launcher_that_is_killed_takes_its_ranks_with_it_and_the_run_goes_on(
    make_run: MakeRun, start: Start
) -> None:
    whole = make_run("whole", head_steps=0)
    run_here(whole)
    run_dir = make_run("killed", gpus=2, head_steps=0)
    process = start(run_dir)
    wait_for_step(run_dir, 12)
    process.kill()
    process.wait()
    wait_until(lambda: not processes_of(run_dir), DEADLINE_S)
    assert start(run_dir, "--gpus", "2").wait(DEADLINE_S) == 0
    started = [event for event in read_events(run_dir) if isinstance(event, RunStarted)]
    assert [event.attempt for event in started] == [1, 2]
    assert started[1].resumed_step
    assert losses(run_dir) == pytest.approx(losses(whole), rel=1e-5)


@pytest.mark.slow
def test_machines_of_a_slurm_job_do_the_run_of_one_process(
    make_run: MakeRun, start: Start, tmp_path: Path
) -> None:
    whole = make_run("whole")
    run_here(whole)
    srun = tmp_path / "bin" / "srun"
    srun.parent.mkdir()
    srun.write_text(SRUN)
    srun.chmod(0o755)
    job = {"SLURM_JOB_NUM_NODES": "2", "PATH": f"{srun.parent}:{os.environ['PATH']}"}
    run_dir = make_run("on-two", nodes=2)
    assert start(run_dir, **job).wait(DEADLINE_S) == 0
    prepared = [event for event in read_events(run_dir) if isinstance(event, ModelPrepared)]
    assert [event.ranks for event in prepared] == [2]
    assert losses(run_dir) == pytest.approx(losses(whole), rel=1e-5)
    assert not processes_of(run_dir)


@pytest.mark.slow
def test_an_image_that_one_rank_cannot_read_is_named(
    make_run: MakeRun, start: Start, tmp_path: Path, small_emoji: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for path in small_emoji.rglob("*.webp"):
        copy = images / path.relative_to(small_emoji)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    run_dir = make_run(
        gpus=2, data_dir=str(images), dataset="mine", transforms="pil", steps=100_000, head_steps=0
    )
    process = start(run_dir)
    wait_until(
        lambda: any(isinstance(each, CheckpointSaved) for each in read_events(run_dir)), DEADLINE_S
    )
    for path in images.rglob("*.webp"):
        path.write_bytes(path.read_bytes()[:100])  # the size of the picture is still told
    assert process.wait(DEADLINE_S) == 1
    failed = last_event(run_dir)
    assert isinstance(failed, RunFailed)
    assert failed.message.startswith("The image ")
    assert "can no longer be read" in failed.message
    assert "engine/data/batches.py" in failed.traceback
    assert run_dir.last_checkpoint.exists()


@pytest.mark.slow
def test_what_is_wrong_with_the_network_is_said_once_and_refused(
    make_run: MakeRun, start: Start
) -> None:
    run_dir = make_run(gpus=2, model="resnt18")
    assert start(run_dir).wait(DEADLINE_S) == 2
    failed = last_event(run_dir)
    assert isinstance(failed, RunFailed)
    assert failed.refused
    assert "Did you mean resnet18" in failed.message
    assert run_dir.log.read_text().count("Did you mean resnet18") == 1


@pytest.mark.slow
def test_a_launcher_suspended_and_killed_leaves_the_lock_to_the_next(
    make_run: MakeRun, start: Start
) -> None:
    run_dir = make_run(gpus=2, steps=100_000, head_steps=0)
    process = start(run_dir)
    wait_for_step(run_dir, 4)
    first = ranks_of(run_dir)[0]
    first.send_signal(signal.SIGSTOP)  # it cannot write, and still holds its lock
    process.kill()
    process.wait()
    wait_until(lambda: not processes_of(run_dir), DEADLINE_S)
    again = start(run_dir)
    told = len(read_events(run_dir))
    wait_until(lambda: len(read_events(run_dir)) > told + 3, DEADLINE_S)
    again.terminate()
    assert again.wait(DEADLINE_S) == 130
