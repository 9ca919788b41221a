"""What the dashboard does to runs, on a real home."""

from __future__ import annotations

import functools
import re
import signal
import sys
from pathlib import Path

import pytest

from engine.datasets.register import add_dataset
from engine.protocol import resolve_spec
from engine.protocol.datasets import AddDataset
from vld_tui.dashboard.actions import Actions
from vld_tui.home import open_home
from vld_tui.launch.local import LaunchError, launch
from vld_tui.launch.queue import SlotsError
from vld_tui.store.queue import Queue
from vld_tui.store.store import Store


def idle_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the engine's processes end at once."""
    idle = functools.partial(launch, command=(sys.executable, "-c", "pass"))
    monkeypatch.setattr("vld_tui.control.start.launch", idle)


def test_a_run_finds_the_data_set_that_was_added_under_its_name(
    tmp_path: Path, small_emoji: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle_engine(monkeypatch)
    home = open_home(tmp_path / "home")
    add_dataset(AddDataset(str(home.datasets), "small", str(small_emoji)), lambda _: None)
    actions = Actions(home)
    actions.start(resolve_spec({"dataset": "small", "target": "noto"}))
    actions.start(resolve_spec({}))
    specs = [home.run_dir(path.name).read_spec() for path in home.runs.iterdir()]
    assert {(spec.dataset, spec.data_dir) for spec in specs} == {
        ("small", str(home.datasets / "small")),
        ("objects-drawn", None),
    }


def test_of_several_runs_the_first_is_started_and_the_others_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle_engine(monkeypatch)
    supervised: list[object] = []
    monkeypatch.setattr("vld_tui.control.queue.start_supervisor", supervised.append)
    home = open_home(tmp_path / "home")
    actions = Actions(home)
    specs = [resolve_spec({"seed": seed}) for seed in range(3)]
    said = actions.start(*specs)
    with Store.open(home) as store:
        assert [run.seed for run in store.queue.runs()] == [1, 2], "in order"
        (started,) = store.live.runs()
        assert started.seed == 0
    assert said == f"{started.name} is starting; 2 runs are queued"
    assert supervised == [home]
    said = actions.start(specs[0])
    with Store.open(home) as store:
        again = next(run for run in store.live.runs() if run.run_id != started.run_id)
    assert again.label == f"{started.name} #{again.run_id[-4:]}"
    assert said == (
        f"{again.label} is starting; 2 runs are running, but the queue has 1 slot: "
        "Q on an ended run, or ctrl+l in the form, waits for one"
    )
    assert supervised == [home], "nothing else waits"
    assert re.search(r"-s1 #\w{4} is queued$", actions.queue(specs[1]))


def test_where_the_first_cannot_be_started_none_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise LaunchError("no process")

    monkeypatch.setattr("vld_tui.control.start.launch", refuse)
    home = open_home(tmp_path / "home")
    with pytest.raises(LaunchError):
        Actions(home).start(resolve_spec({"seed": 0}), resolve_spec({"seed": 1}))
    with Store.open(home) as store:
        assert store.runs.count() == 0


def test_a_run_that_the_queue_starts_at_that_moment_is_stopped_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = open_home(tmp_path / "home")
    with Store.open(home) as store:
        run = store.runs.create(resolve_spec({}), is_queued=True)
    remove, started = Queue.remove, []

    def be_late(queue: Queue, run_id: str) -> None:
        sleeper = (sys.executable, "-c", "import time; time.sleep(60)")
        with Store.open(home) as store:
            started.append(launch(store.runs.run_dir(run_id), sleeper))
            store.live.mark_relaunched(run_id)
        remove(queue, run_id)

    monkeypatch.setattr(Queue, "remove", be_late)
    said = Actions(home).interrupt(run.run_id)
    assert started[0].wait(timeout=60) == -signal.SIGTERM
    assert said == f"{run.name} is stopping after the current step"


def test_a_run_that_is_removed_from_the_queue_can_be_queued_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vld_tui.control.queue.start_supervisor", lambda *_: None)
    home = open_home(tmp_path / "home")
    with Store.open(home) as store:
        run = store.runs.create(resolve_spec({}), is_queued=True)
    said = Actions(home).interrupt(run.run_id)
    assert said == (
        f"{run.label} was removed from the queue; in the list of runs, Q queues it again, r "
        "starts it"
    )
    assert Actions(home).queue_again(run.run_id) == f"{run.label} is queued"


def test_a_run_without_a_process_cannot_be_stopped_from_the_dashboard(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    with Store.open(home) as store:
        run = store.runs.create(resolve_spec({}))
    with pytest.raises(LaunchError, match="has no process here to stop"):
        Actions(home).interrupt(run.run_id)


def test_the_dashboard_sets_no_more_slots_than_the_command_line(tmp_path: Path) -> None:
    actions = Actions(open_home(tmp_path / "home"))
    with pytest.raises(SlotsError, match="from 0 to 64"):
        actions.set_slots(65)
