"""``vld queue`` and what waits in it. Every run is held, so that none starts."""

from __future__ import annotations

import fcntl

import pytest

from tests.vld_tui.cli.conftest import Vld
from vld_tui.home import open_home
from vld_tui.store.store import Store


@pytest.fixture
def queued(vld: Vld, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return three waiting runs; nothing works on the queue."""
    monkeypatch.setattr("vld_tui.control.queue.start_supervisor", lambda *_: None)
    return [vld.json("run", "--queue", "--seed", str(seed))["run"] for seed in range(3)]


def waiting(vld: Vld) -> list[str]:
    return [run["run"] for run in vld.json("queue", "ls")["waiting"]]


def test_runs_wait_in_the_order_that_a_person_gives_them(vld: Vld, queued: list[str]) -> None:
    first, second, third = queued
    assert waiting(vld) == queued
    assert vld("queue", "up", third).exit_code == 0
    assert vld("queue", "down", first).exit_code == 0
    assert waiting(vld) == [third, first, second]
    vld("queue", "hold", first)
    assert [run["held"] for run in vld.json("queue", "ls")["waiting"]] == [False, True, False]
    vld("queue", "release", first)
    assert "1 slot · 0 running · 3 queued" in vld("queue", "ls").stdout.splitlines()
    assert vld("queue", "rm", first).exit_code == 0
    assert "was removed from the queue" in vld("stop", second).stdout
    assert waiting(vld) == [third]
    gone = vld("queue", "rm", first)
    assert gone.exit_code == 2
    assert f"Run {first} is not queued: it is stopped" in gone.stderr
    again = vld("resume", first, "--queue")
    assert "queued: number 2" in again.stdout
    assert waiting(vld) == [third, first]
    vld("stop", third, first)
    several = vld.json("resume", first, third, "--queue")
    assert [run["run"] for run in several] == waiting(vld) == [first, third]
    with Store.open(open_home(vld.home)) as store:
        assert {run.status for run in store.runs.find()} == {"queued", "stopped"}


def test_a_look_at_the_queue_starts_nothing_and_says_what_does(
    vld: Vld, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervised: list[object] = []
    monkeypatch.setattr(
        "vld_tui.control.queue.start_supervisor", lambda home, *_: supervised.append(home)
    )
    assert vld("queue", "start").stdout == "The queue is empty.\n"
    made = [vld.json("run", "--queue", "--seed", str(seed))["run"] for seed in range(2)]
    vld("queue", "hold", made[0])
    supervised.clear()
    told = vld("queue", "ls").stdout.splitlines()
    assert told[-2:] == [
        "1 run is queued, but the queue is not being processed:",
        "  vld queue start  # start them as slots become free",
    ]
    assert vld.json("queue", "ls")["worked_on"] is False
    home = open_home(vld.home)
    assert not home.supervisor_lock.exists()
    assert supervised == []
    assert vld("queue", "start").stdout == "1 run will start as slots become free.\n"
    assert supervised == [home]
    with home.supervisor_lock.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert vld("queue", "start").stdout == "The queue is already being processed.\n"
        assert "queued" in vld("queue", "ls").stdout.splitlines()[-1].split()
    assert len(supervised) == 1
    vld("queue", "hold", made[1])
    assert vld("queue", "start").stdout.startswith("No queued run can start: all are held")


@pytest.mark.usefixtures("queued")
def test_advice_about_the_queue_names_the_home_that_was_given(vld: Vld) -> None:
    told = vld("queue", "ls", "--home", str(vld.home)).stdout.splitlines()
    assert told[-1] == f"  vld --home {vld.home} queue start  # start them as slots become free"


def test_the_number_of_slots_is_kept(vld: Vld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert vld("queue", "slots").stdout == "1 slot\n"
    assert vld("queue", "slots", "3").stdout == "3 slots\n"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert vld("queue", "slots").stdout == "3 slots, on GPU 0, 1, 0\n"
    assert vld("queue", "slots", "0").stdout == "2 slots, on GPU 0, 1\n"
    assert vld("queue", "slots", "--gpus", "1").stdout == "1 slot, on GPU 1\n"
    assert vld("queue", "slots", "--gpus", "all").stdout == "2 slots, on GPU 0, 1\n"
    refused = vld("queue", "slots", "65")
    assert (refused.exit_code, refused.stderr) == (
        2, "Error: The number of slots is 65, but must be from 0 to 64.\n",
    )  # fmt: skip
