"""A job's work, with a stand-in for the engine."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from engine.protocol import RunFinished, RunStarted, RunStopped, resolve_spec
from engine.rundir import RunDir
from tests.small_runs import read_events
from tests.vld_tui.cli.vld_with_stand_in import STAND_IN_COMMAND
from tests.vld_tui.store.told_runs import Teller, stopped
from vld_tui.launch.fork_server import ForkServer
from vld_tui.launch.local import launch
from vld_tui.launch.slurm.pack import Pack
from vld_tui.store.store import Store

DEADLINE_S = 60.0


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(ForkServer, "warm_up", lambda _: None)
    monkeypatch.setattr(
        ForkServer, "launch", lambda _, run_dir, **how: launch(run_dir, STAND_IN_COMMAND, **how)
    )
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def make(store: Store, *models: str) -> list[RunDir]:
    specs = [
        resolve_spec({"steps": 20, "model": model, "seed": n}) for n, model in enumerate(models)
    ]
    return [store.runs.run_dir(run) for run in store.runs.create_many(specs)]


def pack_of(run_dirs: list[RunDir], at_once: int = 1, **values: Any) -> Pack:
    return Pack([str(run_dir.path) for run_dir in run_dirs], at_once, **values)


def last(run_dir: RunDir) -> object:
    events = read_events(run_dir)
    return events[-1] if events else None


def test_runs_are_done_one_after_another(store: Store) -> None:
    run_dirs = make(store, "finish", "fail", "finish")
    pack_of(run_dirs)()
    ends = [read_events(run_dir)[-1] for run_dir in run_dirs]
    assert isinstance(ends[0], RunFinished)
    assert isinstance(ends[2], RunFinished)
    starts = [next(e for e in read_events(d) if isinstance(e, RunStarted)).time for d in run_dirs]
    assert starts[0] < ends[0].time <= starts[1] < ends[1].time <= starts[2]
    assert all(run_dir.read_exit() is not None for run_dir in run_dirs)


def test_it_warms_up_for_several_runs_only(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[ForkServer] = []

    def warm_up(server: ForkServer) -> None:
        if type(server) is ForkServer:  # not a server of the tests
            asked.append(server)

    monkeypatch.setattr(ForkServer, "warm_up", warm_up)
    pack_of(make(store, "finish"))()
    assert asked == []
    pack_of(make(store, "finish", "finish"))()
    assert len(asked) == 1


def test_runs_that_share_a_gpu_go_on_side_by_side(store: Store) -> None:
    run_dirs = make(store, "wait", "wait")
    pack = pack_of(run_dirs, at_once=2)
    ender = threading.Thread(target=stop_when_all_run, args=(run_dirs,))
    ender.start()
    pack()
    ender.join()
    assert all(isinstance(last(run_dir), RunStopped) for run_dir in run_dirs)


def stop_when_all_run(run_dirs: list[RunDir]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not all(len(read_events(each)) > 3 for each in run_dirs) and time.monotonic() < deadline:
        time.sleep(0.05)
    for run_dir in run_dirs:
        process = run_dir.read_process()
        assert process is not None
        os.kill(process.pid, signal.SIGTERM)


def test_a_run_that_was_asked_to_stop_or_is_finished_is_not_begun(store: Store) -> None:
    stopped, finished, fresh = make(store, "finish", "finish", "finish")
    stopped.ask_to_stop("a test")
    pack_of([finished])()
    told = len(read_events(finished))
    pack_of([stopped, finished, fresh])()  # as when the scheduler begins a job anew
    assert read_events(stopped) == []
    assert len(read_events(finished)) == told
    assert isinstance(last(fresh), RunFinished)


def test_when_its_time_is_up_the_job_has_its_runs_save_and_goes_on_with_them(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, waits, next_ = make(store, "fail", "wait", "finish")
    pack = pack_of([done, waits, next_])
    monkeypatch.setattr(
        "vld_tui.launch.slurm.pack.signal.signal", lambda *_: None
    )  # not in a thread
    worker = threading.Thread(target=pack, daemon=True)
    worker.start()
    deadline = time.monotonic() + DEADLINE_S
    while len(read_events(waits)) < 4 and time.monotonic() < deadline:
        time.sleep(0.05)
    again = pack.checkpoint()
    assert isinstance(last(waits), RunStopped)
    assert read_events(next_) == []
    kept = pickle.loads(pickle.dumps(again.function))
    assert kept.settled == {str(done.path)}
    assert kept.folders == pack.folders
    waits.ask_to_stop("a test")
    told = len(read_events(done))
    kept()
    assert len(read_events(done)) == told
    assert isinstance(last(next_), RunFinished)


def test_a_job_that_gets_no_further_is_queued_again_a_few_times_only(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run_dir,) = make(store, "wait")
    monkeypatch.setattr(
        "vld_tui.launch.slurm.pack.signal.signal", lambda *_: None
    )  # not in a thread
    teller = Teller(run_dir)
    pack = pack_of([run_dir])
    for _ in range(3):
        teller.says(stopped(4))
        pack = pickle.loads(pickle.dumps(pack.checkpoint().function))
    for _ in range(5):
        teller.says(stopped(8))
        pack = pickle.loads(pickle.dumps(pack.checkpoint().function))
    events = read_events(run_dir)
    with pytest.raises(SystemExit, match="made no progress in 5 attempts"):
        pack()
    assert "a longer --time" in run_dir.log.read_text()
    assert read_events(run_dir) == events


def test_a_job_that_gets_further_in_between_is_queued_again(store: Store) -> None:
    (run_dir,) = make(store, "finish")
    teller = Teller(run_dir)
    pack = pack_of([run_dir])
    for step in (4, 8):
        for _ in range(4):  # one fewer than it gives up after
            teller.says(stopped(step))
            pack = pickle.loads(pickle.dumps(pack.checkpoint().function))
    pack()
    assert isinstance(last(run_dir), RunFinished)


def test_a_run_that_was_asked_to_stop_is_not_queued_again_with_its_job(store: Store) -> None:
    (run_dir,) = make(store, "wait")
    Teller(run_dir).says(stopped(4))
    pack = pack_of([run_dir])
    assert pack.checkpoint() is not None
    run_dir.ask_to_stop("a test")
    assert pack.checkpoint() is None


def test_a_job_with_nothing_left_is_not_queued_again(store: Store) -> None:
    run_dirs = make(store, "finish")
    pack = pack_of(run_dirs)
    pack()
    assert pack.checkpoint() is None


def test_another_version_of_the_program_does_nothing_and_says_so_in_every_run(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dirs = make(store, "finish", "finish")
    with pytest.raises(SystemExit, match="Install the same version"):
        pack_of(run_dirs, version="0.0.1, protocol 0")()
    for run_dir in run_dirs:
        assert "the run was submitted with 0.0.1, protocol 0" in run_dir.log.read_text()
        assert read_events(run_dir) == []
    assert "Install the same version" in capsys.readouterr().err


def test_a_run_that_something_else_works_on_is_left_to_it(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (run_dir,) = make(store, "wait")
    monkeypatch.setattr("vld_tui.launch.slurm.pack.HEARTBEAT_STALE_S", -15)
    process = launch(run_dir, STAND_IN_COMMAND)
    try:
        pack_of([run_dir])()
        assert "is already running as process" in capsys.readouterr().err
    finally:
        process.terminate()
        process.wait()


def test_a_run_that_is_finished_while_it_is_waited_for_is_not_begun_again(store: Store) -> None:
    (run_dir,) = make(store, "finish")
    process = launch(run_dir, STAND_IN_COMMAND)  # as on a node that was given up for lost
    pack_of([run_dir])()
    assert process.wait(DEADLINE_S) == 0
    assert sum(isinstance(event, RunFinished) for event in read_events(run_dir)) == 1


def test_a_pending_job_of_an_earlier_version_finds_its_task() -> None:
    written = pickle.dumps(Pack(["runs/a"], 1)).replace(
        b"\x8c\x19vld_tui.launch.slurm.pack", b"\x8c\x12vld_tui.slurm.pack"
    )
    assert b"vld_tui.launch" not in written
    start = written.index(b"\x95")
    body = written[:start] + written[start + 9 :]  # the frame told the length of before

    read = pickle.loads(body)

    assert isinstance(read, Pack)
    assert read.folders == ("runs/a",)
