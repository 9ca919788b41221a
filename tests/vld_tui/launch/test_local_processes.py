from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from engine.protocol import RunFinished, RunSpec
from engine.rundir import ProcessInfo, RunDir, UserData, write_atomic
from engine.rundir.life import exit_of
from tests.small_runs import MakeRun
from vld_tui.launch.local import (
    LaunchError,
    launch,
    stop,
    wait_and_record,
)
from vld_tui.runs.run_folder import EventFollower

_DESCRIBING = """
import os, sys
print(sys.argv[1], os.getcwd(), os.getsid(0) == os.getpid(), os.environ["FLAVOUR"], flush=True)
print("stdin:", repr(sys.stdin.read()), file=sys.stderr)
sys.exit(7)
"""
_WAITING = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""
_STUBBORN_WITH_CHILD = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("ready", child.pid, flush=True)
time.sleep(60)
"""


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    run_dir = RunDir(tmp_path / "runs" / "one")
    run_dir.create(RunSpec(), UserData())
    return run_dir


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _wait_for_ready(run_dir: RunDir) -> None:
    _wait_until(lambda: b"ready" in run_dir.log.read_bytes())


def test_a_process_gets_the_folder_and_a_session_of_its_own(
    run_dir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAVOUR", "vanilla")
    run_dir.log.write_text("earlier\n")
    process = launch(run_dir, _python(_DESCRIBING))
    recorded = run_dir.read_process()
    assert recorded is not None
    assert recorded.pid == process.pid
    assert wait_and_record(process, run_dir) == 7
    assert run_dir.log.read_text() == (
        f"earlier\n{run_dir.path} {Path.cwd()} True vanilla\nstdin: ''\n"
    )
    ended = run_dir.read_exit()
    assert ended is not None
    assert ended.exit_code == 7
    assert recorded.started_at - 1 < ended.ended_at <= time.time()


def test_a_process_is_asked_to_stop(run_dir: RunDir) -> None:
    process = launch(run_dir, _python(_WAITING))
    _wait_for_ready(run_dir)
    assert stop(run_dir)
    assert wait_and_record(process, run_dir) == 130
    assert not stop(run_dir)


def test_killing_takes_the_children_along(run_dir: RunDir) -> None:
    process = launch(run_dir, _python(_STUBBORN_WITH_CHILD))
    _wait_for_ready(run_dir)
    assert stop(run_dir)
    assert process.poll() is None
    assert stop(run_dir, kill=True)
    assert wait_and_record(process, run_dir) == -signal.SIGKILL
    child = int(run_dir.log.read_text().split()[1])
    _wait_until(lambda: not _is_running(child))


def _is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_an_earlier_process_may_take_a_moment_to_end(run_dir: RunDir) -> None:
    ending = launch(run_dir, _python("import time; time.sleep(0.5)"))
    waiter = threading.Thread(target=ending.wait)
    waiter.start()
    with pytest.raises(LaunchError, match="already running"):
        launch(run_dir, _python(_WAITING))
    process = launch(run_dir, _python(_WAITING), patience_s=10)
    waiter.join()
    stop(run_dir, kill=True)
    assert process.wait() == -signal.SIGKILL


def test_a_run_has_one_process_at_a_time(run_dir: RunDir) -> None:
    process = launch(run_dir, _python(_WAITING))
    with pytest.raises(LaunchError, match=f"already running as process {process.pid}"):
        launch(run_dir, _python(_WAITING))
    recorded = run_dir.read_process()
    assert recorded is not None
    assert recorded.pid == process.pid
    stop(run_dir, kill=True)
    wait_and_record(process, run_dir)
    second = launch(run_dir, _python("pass"))
    started = ProcessInfo(second.pid, time.time(), "here")
    assert exit_of(run_dir, started) is None  # what is recorded is the first one's
    assert wait_and_record(second, run_dir) == 0


def test_an_end_is_not_taken_for_that_of_another_process_with_the_same_pid(
    run_dir: RunDir,
) -> None:
    process = launch(run_dir, _python("import sys; sys.exit(7)"))
    recorded = run_dir.read_process()
    assert recorded is not None
    assert recorded.birth, "no /proc here"
    assert wait_and_record(process, run_dir) == 7
    assert exit_of(run_dir, recorded) == run_dir.read_exit()
    later = msgspec.structs.replace(recorded, birth="another 1")
    assert exit_of(run_dir, later) is None
    for process_info in (recorded, later):  # as recorded before births were
        unknown = msgspec.structs.replace(process_info, birth=None)
        assert exit_of(run_dir, unknown) == run_dir.read_exit()


def test_an_end_whose_process_is_not_the_recorded_one_is_known_by_its_pid(run_dir: RunDir) -> None:
    process = launch(run_dir, _python("pass"))
    other = msgspec.structs.replace(ProcessInfo.of(process.pid), pid=1, birth="another 1")
    write_atomic(run_dir.process, msgspec.json.encode(other))
    assert wait_and_record(process, run_dir) == 0
    ended = run_dir.read_exit()
    assert ended is not None
    assert (ended.pid, ended.birth) == (process.pid, None)


def test_of_launches_at_once_one_succeeds(run_dir: RunDir) -> None:
    code = (
        "import sys; from pathlib import Path; from engine.rundir import RunDir; "
        "from vld_tui.launch.local import launch, wait_and_record; "
        "run_dir = RunDir(Path(sys.argv[1])); sys.stdin.readline(); "
        "process = launch(run_dir, [sys.executable, '-c', 'input()']); print(process.pid)"
    )
    launchers = [
        subprocess.Popen(
            [sys.executable, "-c", code.replace("input()", "import time; time.sleep(60)"),
             str(run_dir.path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    for launcher in launchers:
        assert launcher.stdin is not None
        launcher.stdin.write("go\n")
        launcher.stdin.flush()
    outcomes = [launcher.communicate() for launcher in launchers]
    started = [int(output) for output, _ in outcomes if output]
    assert len(started) == 1
    assert sum("already running" in complaint for _, complaint in outcomes) == 2
    recorded = run_dir.read_process()
    assert recorded is not None
    assert recorded.pid == started[0]
    assert stop(run_dir, kill=True)


def test_what_cannot_be_started_is_an_error(run_dir: RunDir, tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="Cannot start run one: .*No such file"):
        launch(run_dir, [str(tmp_path / "no-such-program")])
    with pytest.raises(LaunchError, match="Cannot start run"):
        launch(RunDir(tmp_path / "runs" / "none"))
    assert run_dir.read_process() is None


def test_a_run_without_a_process_cannot_be_stopped(run_dir: RunDir) -> None:
    assert not stop(run_dir)
    mine = ProcessInfo.of(os.getpid())
    reused = msgspec.structs.replace(mine, birth="another 1")
    write_atomic(run_dir.process, msgspec.json.encode(reused))
    assert not stop(run_dir, kill=True)


def test_a_run_of_another_host_is_asked_through_its_folder_but_not_killed(run_dir: RunDir) -> None:
    elsewhere = ProcessInfo(pid=1, started_at=time.time(), host="elsewhere")
    write_atomic(run_dir.process, msgspec.json.encode(elsewhere))
    with pytest.raises(LaunchError, match="is on elsewhere: kill process 1 there"):
        stop(run_dir, kill=True)
    assert run_dir.read_stop() is None
    assert stop(run_dir)
    asked = run_dir.read_stop()
    assert asked is not None
    assert asked.reason == f"asked from {socket.gethostname()}"
    with pytest.raises(LaunchError, match="already running as process 1 on elsewhere"):
        launch(run_dir, _python("pass"))


def test_a_run_that_was_asked_to_stop_is_let_go_on_when_it_is_launched(run_dir: RunDir) -> None:
    run_dir.ask_to_stop("a test")
    launch(run_dir, _python("pass")).wait()
    assert run_dir.read_stop() is None


def test_a_run_of_another_host_that_is_gone_is_not_asked(run_dir: RunDir) -> None:
    elsewhere = ProcessInfo(pid=1, started_at=time.time() - 1000, host="elsewhere")
    write_atomic(run_dir.process, msgspec.json.encode(elsewhere))
    assert not stop(run_dir)
    assert run_dir.read_stop() is None


def test_an_exit_code_that_cannot_be_recorded_is_returned(run_dir: RunDir) -> None:
    process = launch(run_dir, _python("import sys; sys.exit(5)"))
    run_dir.exit.mkdir()
    assert wait_and_record(process, run_dir) == 5


@pytest.mark.usefixtures("cold_starts")
def test_the_engine_is_started_whatever_lies_in_the_working_folder(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "project"
    trap.mkdir()
    (trap / "engine.py").write_text("raise SystemExit('the wrong engine')")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.chdir(trap)
    run_dir = make_run(steps=2, eval_every=2, log_every=1, head_steps=0)
    follower = EventFollower(run_dir)
    process = launch(run_dir)
    exit_code = wait_and_record(process, run_dir)
    events = follower.poll()
    assert exit_code == 0, run_dir.log.read_text()
    assert isinstance(events[-1], RunFinished)


@pytest.mark.usefixtures("cold_starts")
def test_the_engine_of_a_source_tree_is_found_from_inside_it(
    run_dir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[3])
    monkeypatch.delenv("PYTHONPATH", raising=False)
    run_dir.spec.unlink()
    process = launch(run_dir)
    assert wait_and_record(process, run_dir) == 2
    assert "is not a run folder" in run_dir.log.read_text()
