"""``vld run`` in a process of its own: Ctrl-C, SIGTERM, hang-up, --detach."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from tests.vld_tui.cli.conftest import WITH_STAND_IN, Vld
from tests.waiting import wait_until
from vld_tui.cli.follow import ONE_SIGNAL_S
from vld_tui.launch.local import launch

WAITING = ("run", "--model", "wait", "--steps", "100", "--head-steps", "5", "--eval-every", "10")


def engine_pid(vld: Vld) -> int | None:
    for folder in (vld.home / "runs").glob("*"):
        process = folder / "process.json"
        checkpoint = folder / "checkpoints" / "last.safetensors"
        if process.exists() and checkpoint.exists():
            return int(json.loads(process.read_bytes())["pid"])
    return None


@pytest.fixture
def engine(vld: Vld) -> Iterator[Callable[[], int]]:
    """Return a function that waits for the engine's first checkpoint and returns its pid."""

    def wait() -> int:
        wait_until(lambda: engine_pid(vld) is not None)
        pid = engine_pid(vld)
        assert pid is not None
        return pid

    yield wait
    pid = engine_pid(vld)
    if pid is not None and psutil.pid_exists(pid):
        os.kill(pid, signal.SIGKILL)


def wait_for_more_steps(vld: Vld) -> None:
    """Wait until the engine has recorded something more, which a dead one never does."""
    (events,) = (vld.home / "runs").glob("*/events.jsonl")
    recorded = events.stat().st_size
    wait_until(lambda: events.stat().st_size > recorded)


def detached(vld: Vld) -> dict[str, Any]:
    """Start a run in a process that ends, so that nobody waits for the engine."""
    with vld.start(*WAITING, "--detach", "--json") as run:
        out, _ = run.communicate(timeout=10)
    record: dict[str, Any] = json.loads(out)
    return record


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_saves_and_stops(
    vld: Vld, engine: Callable[[], int], number: signal.Signals
) -> None:
    with vld.start(*WAITING, "--json") as run:
        pid = engine()
        run.send_signal(number)
        out, err = run.communicate(timeout=30)
    record = json.loads(out)
    assert run.returncode == 130
    assert record["status"] == "stopped"
    assert "stopping after this step; press Ctrl-C again to kill" in err
    assert f"vld resume {record['run']}" in err
    assert not psutil.pid_exists(pid)


def test_a_second_signal_kills_at_once(vld: Vld, engine: Callable[[], int]) -> None:
    words = [word.replace("wait", "stubborn") for word in WAITING]
    with vld.start(*words, "--json") as run:
        pid = engine()
        run.send_signal(signal.SIGINT)
        assert run.stderr is not None
        told = ""
        while "stopping after this step" not in told:
            told = run.stderr.readline()
            assert told, "it ended"
        wait_for_more_steps(vld)
        time.sleep(ONE_SIGNAL_S)  # sooner, it is the same press
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=30)
    record = json.loads(out)
    assert run.returncode == 130
    assert (record["status"], record["error"]) == ("stopped", "killed by Ctrl-C twice")
    assert "killed after step" in err
    assert f"vld resume {record['run']}" in err
    assert not psutil.pid_exists(pid)


def test_two_signals_at_the_same_moment_are_one_request(
    vld: Vld, engine: Callable[[], int]
) -> None:
    with vld.start(*WAITING, "--json") as run:
        engine()
        for _ in range(3):
            run.send_signal(signal.SIGINT)
            time.sleep(0.02)
        out, err = run.communicate(timeout=30)
    assert json.loads(out)["error"] is None
    assert "killing" not in err


def test_the_run_goes_on_when_the_terminal_closes(vld: Vld, engine: Callable[[], int]) -> None:
    terminal, theirs = pty.openpty()
    run = subprocess.Popen(
        [sys.executable, str(WITH_STAND_IN), *WAITING],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=vld.environment(TERM="xterm-256color"),
        start_new_session=True,
    )
    os.close(theirs)
    pid = engine()
    run.send_signal(signal.SIGHUP)
    os.close(terminal)
    run.wait(timeout=10)
    assert run.returncode != 0
    wait_for_more_steps(vld)
    assert psutil.pid_exists(pid)
    assert vld.json("show", "@last")["status"] == "running"


def test_a_detached_run_goes_on_alone_and_can_be_stopped(
    vld: Vld, engine: Callable[[], int]
) -> None:
    with vld.start(*WAITING, "--detach") as run:
        out, err = run.communicate(timeout=10)
    assert (run.returncode, err) == (0, "")
    run_id = out.split()[1]
    assert f"vld logs -f {run_id}" in out
    pid = engine()
    assert psutil.pid_exists(pid)
    again = vld("resume", run_id)
    assert again.exit_code == 2
    assert f"process {pid}" in again.stderr
    assert vld("rm", run_id).exit_code == 2
    stopped = vld("stop", run_id)
    assert stopped.exit_code == 0, stopped.output
    assert f"{run_id} stopped at step" in stopped.stdout
    assert vld.json("show", run_id)["status"] == "stopped"


def test_a_detached_run_answers_with_its_record(vld: Vld, engine: Callable[[], int]) -> None:
    record = detached(vld)
    assert record["status"] in ("starting", "running")
    assert record["pid"] == engine()
    stopped = vld("stop", "--kill", record["run"])
    assert stopped.exit_code == 0
    assert f"{record['run']} killed at step" in stopped.stdout
    shown = vld.json("show", record["run"])
    assert (shown["status"], shown["error"]) == ("stopped", "killed by vld stop --kill")


def test_a_run_whose_process_cannot_start_leaves_nothing_behind(
    vld: Vld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "vld_tui.control.start.launch",
        lambda run_dir, **how: launch(run_dir, ["/nowhere/python"], **how),
    )
    result = vld("run")
    assert result.exit_code == 2
    assert "Cannot start run" in result.stderr
    assert vld.json("ls") == []


def test_logs_are_followed_until_the_run_ends(vld: Vld, engine: Callable[[], int]) -> None:
    record = detached(vld)
    engine()
    with vld.start("logs", "-f", record["run"]) as logs:
        assert logs.stdout is not None
        first = logs.stdout.readline()  # it follows, and the run has not ended
        vld("stop", record["run"])
        out = logs.stdout.read()  # communicate() would lose what came with the first line
    lines = [first.rstrip("\n"), *out.splitlines()]
    assert "stand-in engine: ␛[31mtraining␛[0m" in lines
    assert any(line.startswith("step ") and "loss" in line for line in lines)
    assert any(line.startswith("stopped at step ") for line in lines)
    assert logs.returncode == 0
