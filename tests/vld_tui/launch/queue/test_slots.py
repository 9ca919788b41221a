"""Which runs there is room for."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.protocol import resolve_spec
from vld_tui.control.queue import set_slots
from vld_tui.home import open_home
from vld_tui.launch.queue.slots import (
    Slot,
    SlotsError,
    choose_slots,
    find_gpus,
    free_slots,
    make_slots,
    slots_of,
    wanted_slots,
)
from vld_tui.store.store import Store


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
