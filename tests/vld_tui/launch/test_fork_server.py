"""A forked process is the one that would have been started, whatever happens to the server."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from engine.protocol import RunFinished, StepsTaken
from engine.rundir import ProcessInfo, RunDir
from engine.rundir.life import end_of, is_alive
from tests.small_runs import MakeRun, read_events
from tests.waiting import wait_until
from vld_tui.launch.fork_server import ForkedProcess, ForkServer, fork_request
from vld_tui.launch.local import launch, stop, wait_and_record

ROOT = Path(__file__).parents[3]
FORKED = "tests.vld_tui.launch.forked"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ForkServer]:
    """Return a server that has imported nothing large."""
    with made_server(tmp_path) as server:
        server.warm_up()
        yield server


@pytest.fixture(scope="module")
def warm_server() -> Iterator[ForkServer]:
    """Return a server that has imported the engine."""
    with ForkServer() as server:
        server.warm_up()
        yield server


def made_server(tmp_path: Path, *modules: str) -> ForkServer:
    search_path = os.pathsep.join([str(ROOT), str(tmp_path), *filter(None, sys.path)])
    return ForkServer(modules, {**os.environ, "PYTHONPATH": search_path})


def fork(server: ForkServer, log: Path, *words: str, **variables: str) -> ForkedProcess | None:
    with log.open("ab") as output, open(os.devnull, "rb") as nothing:
        request = fork_request(words, {**os.environ, **variables})
        streams = (nothing.fileno(), output.fileno(), output.fileno())
        pid = server.fork(request, streams)
    return None if pid is None else ForkedProcess(pid)


def described(server: ForkServer, log: Path, end: str, **variables: str) -> Any:
    """Fork a process that describes itself, and return it with its description."""
    process = fork(server, log, FORKED, end, **variables)
    assert process is not None
    wait_until(lambda: log.read_text().endswith("a warning\n"))
    return process, json.loads(log.read_text().splitlines()[0])


def servers(tmp_path: Path) -> list[psutil.Process]:
    """Return the servers that this process has started for one test."""
    return [
        child
        for child in psutil.Process().children()
        if "engine.fork_server" in child.cmdline()
        and str(tmp_path) in child.environ()["PYTHONPATH"]
    ]


def test_it_has_its_own_session_environment_streams_and_exit_code(
    server: ForkServer, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    process, told = described(server, log, "7", FLAVOUR="vanilla")
    del told["birth"]
    assert told == {
        "arguments": ["7"],
        "flavour": "vanilla",
        "is_leader": True,
        "parent": os.getpid(),
        "files": sorted([os.devnull, str(log), str(log)]),
        "stdin": "",
    }
    assert [process.wait(), process.wait()] == [7, 7]
    process.terminate()  # has no effect any more


def test_it_is_found_by_its_birth_and_by_the_command_line_of_a_new_process(
    server: ForkServer, tmp_path: Path
) -> None:
    process, told = described(server, tmp_path / "log", "wait")
    assert ProcessInfo.of(process.pid).birth == told["birth"]
    words = [word for word in psutil.Process(process.pid).cmdline() if word]
    assert words == [sys.executable, "-P", "-X", "faulthandler", "-m", FORKED, "wait"]
    process.kill()
    assert process.wait() == -signal.SIGKILL


@pytest.mark.usefixtures("cold_starts")
def test_a_forked_run_computes_what_one_in_a_new_process_does(
    warm_server: ForkServer, make_run: MakeRun
) -> None:
    forked, new = make_run("forked", threads=2), make_run("new", threads=2)
    assert wait_and_record(warm_server.launch(forked), forked) == 0
    assert wait_and_record(launch(new), new) == 0

    def losses(run_dir: RunDir) -> list[tuple[int, float | None]]:
        events = read_events(run_dir)
        assert isinstance(events[-1], RunFinished)
        return [(each.step, each.loss) for each in events if isinstance(each, StepsTaken)]

    assert losses(forked) == losses(new)
    ours, theirs = (load_file(each.best_checkpoint) for each in (forked, new))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert forked.log.read_bytes() == new.log.read_bytes()


def test_its_end_is_recorded_as_ever(warm_server: ForkServer, make_run: MakeRun) -> None:
    run_dir = make_run(steps=100_000)
    process = warm_server.launch(run_dir)
    recorded = run_dir.read_process()
    assert recorded is not None
    assert recorded.pid == process.pid
    wait_until(lambda: read_events(run_dir))
    os.kill(process.pid, signal.SIGSEGV)
    assert wait_and_record(process, run_dir) == -signal.SIGSEGV
    assert not is_alive(run_dir, recorded)
    assert end_of(run_dir, recorded, time.time()).cause.startswith("killed by SIGSEGV (signal 11)")
    assert "Fatal Python error: Segmentation fault" in run_dir.log.read_text()


def test_it_is_asked_to_stop_as_ever(warm_server: ForkServer, make_run: MakeRun) -> None:
    run_dir = make_run(steps=100_000)
    process = warm_server.launch(run_dir)
    wait_until(run_dir.last_checkpoint.exists)
    assert stop(run_dir)
    assert wait_and_record(process, run_dir) == 130


def test_runs_outlive_the_server_and_the_next_one_is_a_new_process(
    server: ForkServer, make_run: MakeRun, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    process, _ = described(server, tmp_path / "log", "wait")
    (running,) = servers(tmp_path)
    running.kill()
    running.wait()
    run_dir = make_run()
    run_dir.spec.unlink()
    assert wait_and_record(server.launch(run_dir), run_dir) == 2
    assert "is not a run folder" in run_dir.log.read_text()
    assert "A run starts as a new process" in capfd.readouterr().err
    assert psutil.Process(process.pid).is_running()
    server.warm_up()
    assert len(servers(tmp_path)) == 1
    server.close()
    assert servers(tmp_path) == []
    process.kill()
    assert process.wait() == -signal.SIGKILL


def test_a_module_that_was_changed_is_imported_again(tmp_path: Path) -> None:
    module = tmp_path / "flavours.py"
    module.write_text("CHOSEN = 'vanilla'\n")
    (tmp_path / "asked.py").write_text("import flavours; print(flavours.CHOSEN)\n")
    with made_server(tmp_path, "flavours") as server:
        for flavour in ("vanilla", "lemon and basil"):
            server.warm_up()
            log = tmp_path / flavour
            process = fork(server, log, "asked")
            assert process is not None
            assert process.wait() == 0
            assert log.read_text() == f"{flavour}\n"
            module.write_text("CHOSEN = 'lemon and basil'\n")
            os.utime(module, (1, 1 + len(flavour)))
            assert fork(server, log, "asked") is None


def test_what_cannot_be_imported_is_left_to_new_processes(
    make_run: MakeRun, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with made_server(tmp_path, "no_such_module") as server:
        server.warm_up()
        assert "the engine's fork server failed" in capfd.readouterr().err
        server.warm_up()
        assert capfd.readouterr().err == "", "it is tried once"
        run_dir = make_run()
        run_dir.spec.unlink()
        assert wait_and_record(server.launch(run_dir), run_dir) == 2


def test_a_run_on_several_processes_is_not_forked(
    server: ForkServer, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "fork", None)
    run_dir = make_run(gpus=2, batch_size=4)
    process = server.launch(run_dir)
    process.kill()
    assert wait_and_record(process, run_dir) == -signal.SIGKILL


def test_when_its_owner_is_killed_the_server_ends_runs_continue_and_locks_are_free(
    tmp_path: Path,
) -> None:
    lock, log = tmp_path / "lock", tmp_path / "log"
    code = f"""
import fcntl, time
from pathlib import Path
from tests.vld_tui.launch.test_fork_server import FORKED, fork, made_server, servers
lock = open({str(lock)!r}, "w")
fcntl.flock(lock, fcntl.LOCK_EX)
server = made_server(Path({str(tmp_path)!r}))
server.warm_up()
[found] = servers(Path({str(tmp_path)!r}))
print(fork(server, Path({str(log)!r}), FORKED, "wait").pid, found.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as owner:
        assert owner.stdout is not None
        run, server = map(psutil.Process, map(int, owner.stdout.readline().split()))
        owner.kill()
    wait_until(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)
    wait_until(log.read_text)
    assert run.is_running()
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    run.kill()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_forked_process_sees_the_gpus_of_its_own_environment(tmp_path: Path) -> None:
    (tmp_path / "count.py").write_text(
        "import torch\n"
        "gpus = torch.cuda.device_count()\n"
        "print(gpus, torch.ones(2, device='cuda').sum().item() if gpus else 0)\n"
    )
    with made_server(tmp_path, "torch") as server:
        server.warm_up()
        for gpus, printed in (("", "0 0\n"), ("0", "1 2.0\n"), ("", "0 0\n")):
            log = tmp_path / f"log{gpus}"
            log.unlink(missing_ok=True)
            process = fork(server, log, "count", CUDA_VISIBLE_DEVICES=gpus)
            assert process is not None
            assert process.wait() == 0
            assert log.read_text() == printed
