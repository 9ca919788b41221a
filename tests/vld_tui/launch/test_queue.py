"""Waiting runs are started in order, whatever happens to the process that starts them."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engine.protocol import resolve_spec
from engine.rundir import ExitInfo, ProcessInfo, RunDir, write_atomic
from tests.small_runs import read_events
from tests.vld_tui.launch.queue_stand_in import start_stand_in
from tests.waiting import wait_until
from vld_tui.config import QueueConfig
from vld_tui.control.queue import set_slots
from vld_tui.home import Home, open_home
from vld_tui.launch.local import LaunchError, stop
from vld_tui.launch.queue import (
    Slot,
    SlotsError,
    Supervisor,
    choose_slots,
    find_gpus,
    free_slots,
    is_supervised,
    make_slots,
    slots_of,
    start_supervisor,
    wanted_slots,
)
from vld_tui.launch.queue import main as work
from vld_tui.store.errors import StoreError
from vld_tui.store.store import Store

ROOT = Path(__file__).parents[3]
SCRIPT = Path(__file__).with_name("queue_with_stand_in.py")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(open_home(tmp_path / "home")) as store:
        yield store
        store.live.refresh()
        for run in store.live.runs():
            stop(store.runs.run_dir(run.run_id), kill=True)


def add(store: Store, name: str, model: str = "finish", steps: int = 20, gpus: int = 1) -> str:
    spec = resolve_spec(
        {"model": model, "steps": steps, "eval_every": 10, "head_steps": 5, "gpus": gpus}
    )
    return store.runs.create(spec, name=name, is_queued=True).run_id


def waiting(store: Store) -> list[str]:
    return [run.name for run in store.queue.runs()]


def supervise(home: Home) -> subprocess.Popen[bytes]:
    """Start a process that works on the queue."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, str(SCRIPT), str(home.path)], env=environment)


def statuses(store: Store) -> dict[str, str]:
    store.live.refresh()
    return {run.name: run.status for run in store.runs.find()}


def test_places_in_the_queue_change(store: Store) -> None:
    first, second, third = (add(store, name) for name in "abc")
    assert waiting(store) == ["a", "b", "c"]
    store.queue.move(third, -1)
    store.queue.move(first, 1)
    assert waiting(store) == ["c", "a", "b"]
    store.queue.move(third, -1)  # it is the first already
    assert waiting(store) == ["c", "a", "b"]
    store.queue.remove(first)
    assert waiting(store) == ["c", "b"]
    assert store.runs.get(first).status == "stopped"
    with pytest.raises(StoreError, match=rf"Run {first} is not queued: it is stopped"):
        store.queue.hold(first)
    store.queue.add(first)
    assert waiting(store) == ["c", "b", "a"]
    with pytest.raises(StoreError, match="is queued"):
        store.queue.add(first)
    store.trash.move(second)
    assert waiting(store) == ["c", "a"]
    store.trash.restore(second)
    assert store.runs.get(second).status == "stopped"


def test_as_many_are_started_as_there_are_slots_and_held_ones_are_passed_over(
    store: Store,
) -> None:
    names = [add(store, name, model="wait") for name in "abcd"]
    store.queue.hold(names[1])
    store.settings.set_in_section(QueueConfig, {"slots": 2})
    supervisor = Supervisor(store, start_stand_in)
    assert supervisor.take_turn()
    assert waiting(store) == ["b", "d"]
    assert supervisor.take_turn()
    assert waiting(store) == ["b", "d"]
    wait_until(store.runs.run_dir(names[0]).last_checkpoint.exists)
    stop(store.runs.run_dir(names[0]))

    def has_room() -> bool:
        supervisor.take_turn()
        return waiting(store) == ["b"]

    wait_until(has_room)
    assert statuses(store)["a"] == "stopped"
    store.queue.hold(names[1], is_held=False)
    assert [run.is_held for run in store.queue.runs()] == [False]


def test_a_supervisor_may_have_slots_of_its_own(store: Store) -> None:
    for name in "abc":
        add(store, name)
    supervisor = Supervisor(store, start_stand_in, slots=2)
    assert supervisor.take_turn()
    assert waiting(store) == ["c"]
    assert len(slots_of(store)) == 1
    supervisor.work()


def test_runs_that_are_due_are_found_in_order_behind_many_held_ones(store: Store) -> None:
    held = [add(store, f"held{number}") for number in range(70)]
    for run_id in held:
        store.queue.hold(run_id)
    first, second = add(store, "first"), add(store, "second")
    assert [run.name for run in store.queue.due()] == ["first", "second"]
    store.queue.move(second, -1)
    store.queue.hold(held[3], is_held=False)
    assert [run.name for run in store.queue.due()] == ["held3", "second", "first"]
    found = store.queue.due()
    assert next(found).run_id == held[3]
    store.trash.move(first)
    assert [run.name for run in found] == ["second"]


@pytest.mark.usefixtures("cold_starts")  # /proc says what a process was started with
def test_each_gets_a_gpu_of_its_own(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    runs = [add(store, name, model="wait") for name in "abc"]
    Supervisor(store, start_stand_in).take_turn()
    assert [store.runs.get(run).gpu for run in runs] == ["4", "7", None]
    assert waiting(store) == ["c"]
    for run, gpu in zip(runs, ("4", "7"), strict=False):
        process = store.runs.run_dir(run).read_process()
        assert process is not None
        environment = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
        assert f"CUDA_VISIBLE_DEVICES={gpu}".encode() in environment


@pytest.mark.usefixtures("cold_starts")  # /proc says what a process was started with
def test_a_run_on_several_gpus_waits_for_as_many_and_none_overtakes_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,7")
    first = add(store, "one", model="wait")
    second = add(store, "three", model="wait", gpus=3)
    third = add(store, "another", model="wait")
    supervisor = Supervisor(store, start_stand_in)
    assert supervisor.take_turn()
    assert store.runs.get(first).gpu == "4"
    assert waiting(store) == ["three", "another"]
    wait_until(store.runs.run_dir(first).last_checkpoint.exists)
    stop(store.runs.run_dir(first))

    def has_room() -> bool:
        supervisor.take_turn()
        return waiting(store) == ["another"]

    wait_until(has_room)
    assert store.runs.get(second).gpu == "4,5,7"
    process = store.runs.run_dir(second).read_process()
    assert process is not None
    environment = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
    assert b"CUDA_VISIBLE_DEVICES=4,5,7" in environment
    assert store.runs.get(third).gpu is None


def test_a_run_on_more_gpus_than_the_queue_has_says_so_and_the_next_one_is_started(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    large, next_one = add(store, "large", gpus=4), add(store, "next")
    Supervisor(store, start_stand_in).take_turn()
    run = store.runs.get(large)
    assert run.status == "failed"
    assert run.error is not None
    assert run.error.startswith("It needs 4 GPUs, but the queue has 2.")
    assert f"vld resume {large} --gpus 2" in run.error
    assert store.runs.get(next_one).gpu == "4"


def test_a_run_on_another_machine_takes_no_slot(store: Store) -> None:
    elsewhere = store.runs.run_dir(add(store, "elsewhere"))
    process = ProcessInfo(pid=os.getpid(), started_at=time.time(), host="elsewhere")
    write_atomic(elsewhere.process, msgspec.json.encode(process))
    elsewhere.heartbeat.touch()
    store.live.mark_relaunched(elsewhere.run_id)
    add(store, "here")
    assert store.runs.get(elsewhere.run_id).host == "elsewhere"
    Supervisor(store, start_stand_in).take_turn()
    assert waiting(store) == []
    elsewhere.write_exit(ExitInfo(0, time.time(), pid=process.pid))  # nothing of it is left to stop


def test_a_run_that_cannot_be_started_says_why_and_the_next_one_is(store: Store) -> None:
    first, second = add(store, "a"), add(store, "b")

    def start(run_dir: RunDir, gpu: str | None) -> subprocess.Popen[bytes]:
        if run_dir.run_id == first:
            raise LaunchError("No process could be made.")
        return start_stand_in(run_dir, gpu)

    supervisor = Supervisor(store, start)
    wait_until(lambda: not supervisor.take_turn())
    failed = store.runs.get(first)
    assert (failed.status, failed.error) == ("failed", "No process could be made.")
    assert store.runs.get(second).status == "finished"


def test_it_warms_up_before_it_reads_which_of_several_runs_are_due(store: Store) -> None:
    first = add(store, "a", model="wait")
    asked: list[list[str]] = []

    def warm_up() -> None:
        asked.append(waiting(store))
        if len(asked) == 1:
            store.queue.remove(second)

    supervisor = Supervisor(store, start_stand_in, warm_up)
    supervisor.take_turn()
    assert asked == []
    second = add(store, "b")
    add(store, "c")
    add(store, "d")
    supervisor.take_turn()
    stop(store.runs.run_dir(first), kill=True)
    wait_until(lambda: not supervisor.take_turn())
    assert asked[0] == ["b", "c", "d"]
    assert statuses(store) | {"a": ""} == {
        "a": "", "b": "stopped", "c": "finished", "d": "finished",
    }  # fmt: skip


def test_the_next_run_starts_as_soon_as_one_has_ended(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vld_tui.launch.queue.POLL_S", 600.0)
    for name in "abc":
        add(store, name)
    worker = threading.Thread(target=work, args=(store.home, start_stand_in), daemon=True)
    worker.start()
    worker.join(60)
    assert not worker.is_alive()
    assert set(statuses(store).values()) == {"finished"}


def test_a_stopped_run_goes_on_when_its_turn_comes(store: Store) -> None:
    run = add(store, "a", model="wait")
    supervisor = Supervisor(store, start_stand_in)
    supervisor.take_turn()
    wait_until(store.runs.run_dir(run).last_checkpoint.exists)
    stop(store.runs.run_dir(run))
    wait_until(lambda: not supervisor.take_turn())
    store.queue.add(run)
    supervisor.take_turn()
    wait_until(lambda: store.runs.get(run).attempts == 2)
    assert store.runs.get(run).status == "running"


def test_the_process_ends_when_nothing_waits_and_every_run_is_over(store: Store) -> None:
    for name in "ab":
        add(store, name)
    held = add(store, "c")
    store.queue.hold(held)
    with supervise(store.home) as process:
        assert process.wait(30) == 0
    assert statuses(store) == {"a": "finished", "b": "finished", "c": "queued"}
    assert not is_supervised(store.home)
    assert store.runs.run_dir(store.runs.get("a").run_id).read_exit() is not None


def test_of_two_processes_one_works(store: Store) -> None:
    add(store, "a", model="wait")
    with supervise(store.home) as one, supervise(store.home) as other:
        wait_until(lambda: one.poll() is not None or other.poll() is not None)
        assert is_supervised(store.home)
        wait_until(lambda: statuses(store) == {"a": "running"})
        stop(store.runs.run_dir(store.runs.get("a").run_id))
        assert (one.wait(20), other.wait(20)) == (0, 0)


def test_killed_at_any_moment_another_takes_over(store: Store) -> None:
    add(store, "a", model="wait")
    add(store, "b")
    with supervise(store.home) as process:
        wait_until(lambda: statuses(store)["a"] == "running")
        process.send_signal(signal.SIGKILL)
    with supervise(store.home) as process:
        wait_until(lambda: is_supervised(store.home))
        assert statuses(store) == {"a": "running", "b": "queued"}  # the run outlived it
        stop(store.runs.run_dir(store.runs.get("a").run_id))
        assert process.wait(30) == 0
    assert statuses(store) == {"a": "stopped", "b": "finished"}
    assert store.runs.get("a").attempts == 1
    ran, waited = (read_events(store.runs.run_dir(store.runs.get(name).run_id)) for name in "ab")
    assert waited[0].time >= ran[-1].time  # b was started when a had ended


def test_killed_between_starting_a_run_and_recording_it(store: Store) -> None:
    run = add(store, "a", model="wait")
    with start_stand_in(store.runs.run_dir(run), None):  # what it had come to
        Supervisor(store, start_stand_in).take_turn()
        assert waiting(store) == []
        wait_until(lambda: statuses(store) == {"a": "running"})
        assert store.runs.get(run).attempts == 1
        stop(store.runs.run_dir(run), kill=True)


def test_a_worker_that_fails_at_once_is_reported_with_its_log(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = (sys.executable, "-c", "raise SystemExit('no disk')")
    monkeypatch.setattr("vld_tui.launch.queue.SUPERVISOR_COMMAND", failing)
    with pytest.raises(LaunchError, match=r"worker failed:\nno disk\nQueued runs stay queued"):
        start_supervisor(store.home)


def test_the_queue_is_worked_on_where_no_locks_exist(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuse)
    add(store, "first")
    work(store.home, start_stand_in)
    assert waiting(store) == []
    assert not is_supervised(store.home)


def test_the_gpus_that_are_visible_are_named_by_the_environment() -> None:
    assert find_gpus({"CUDA_VISIBLE_DEVICES": "2, GPU-8f"}) == ("2", "GPU-8f")
    assert find_gpus({"CUDA_VISIBLE_DEVICES": ""}) == ()


@pytest.mark.parametrize(
    ("count", "gpus", "slots"),
    [
        (None, [], (None,)),
        (3, [], (None, None, None)),
        (None, ["0", "1"], ("0", "1")),
        (3, ["0", "1"], ("0", "1", "0")),
        (1, ["0", "1"], ("0",)),
    ],
)
def test_a_slot_for_each_gpu_unless_a_number_is_set(
    count: int | None, gpus: list[str], slots: tuple[Slot, ...]
) -> None:
    assert make_slots(count, gpus) == slots


@pytest.mark.parametrize(
    ("slots", "taken", "left"),
    [
        (["0", "1"], ["0"], ["1"]),
        (["0", "1"], [None], ["1"]),  # one started by hand is on the first GPU, most likely
        (["0", "1"], [None, "0"], []),  # the slots go to those that name theirs first
        (["0", "1", "0"], ["0"], ["1", "0"]),
        ([None], [None, None], []),
        ([None, None], [None], [None]),
        (["0"], ["7"], ["0"]),  # a GPU that is not the queue's
    ],
)
def test_runs_that_go_on_take_slots(slots: list[Slot], taken: list[Slot], left: list[Slot]) -> None:
    assert free_slots(slots, taken) == left


@pytest.mark.parametrize(
    ("fields", "slots", "wanted"),
    [
        ({"gpus": 2}, ["0", "1", "2"], 2),
        ({"gpus": 2, "device": "cpu"}, ["0", "1"], 1),
        ({"gpus": 2}, [None], 1),  # there are none: the run itself will say so
    ],
)
def test_a_run_takes_a_slot_for_each_gpu_it_wants(
    fields: dict[str, object], slots: list[Slot], wanted: int
) -> None:
    assert wanted_slots(resolve_spec(fields), slots) == wanted


@pytest.mark.parametrize(
    ("free", "wanted", "chosen"),
    [
        (["0", "1", "0"], 1, ["0"]),
        (["0", "0", "1"], 2, ["0", "1"]),
        (["0", "0"], 2, None),  # two runs may share a GPU, two ranks of one may not
        ([], 1, None),
        ([None, None], 1, [None]),
    ],
)
def test_the_gpus_of_one_run_differ(
    free: list[Slot], wanted: int, chosen: list[Slot] | None
) -> None:
    assert choose_slots(free, wanted) == chosen


def test_the_queue_keeps_to_the_gpus_that_a_person_chose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    with Store.open(open_home(tmp_path / "home")) as store:
        set_slots(store, gpus="2, 0")
        assert slots_of(store) == ("2", "0")
        with pytest.raises(SlotsError, match="No GPU '7': this machine has 0, 1, 2, 3"):
            set_slots(store, 3, "0,7")
        with pytest.raises(SlotsError, match="The list of GPUs is empty"):
            set_slots(store, gpus=" ,")
        assert slots_of(store) == ("2", "0")
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
        assert slots_of(store) == ("0",), "one that was chosen is no longer here"
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
        assert slots_of(store) == ("3",), "none that was chosen is here"
        set_slots(store, gpus="all")
        assert slots_of(store) == ("3",)
