"""What the dashboard does to runs, on a real home."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import pytest

from engine.datasets.register import add_dataset
from engine.protocol import resolve_spec
from engine.protocol.datasets import AddDataset
from vld_tui.dashboard.actions import LocalActions
from vld_tui.home import open_home
from vld_tui.launch.local import LaunchError, launch
from vld_tui.store.store import Store


def idle_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the engine's processes end at once."""
    idle = functools.partial(launch, command=(sys.executable, "-c", "pass"))
    monkeypatch.setattr("vld_tui.dashboard.actions.launch", idle)


def test_a_run_finds_the_data_set_that_was_added_under_its_name(
    tmp_path: Path, small_emoji: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle_engine(monkeypatch)
    home = open_home(tmp_path / "home")
    add_dataset(AddDataset(str(home.datasets), "small", str(small_emoji)), lambda _: None)
    actions = LocalActions(home)
    actions.start(resolve_spec({"dataset": "small", "target": "noto"}))
    actions.start(resolve_spec({}))
    specs = [home.run_dir(path.name).read_spec() for path in home.runs.iterdir()]
    assert {(spec.dataset, spec.data_dir) for spec in specs} == {
        ("small", str(home.datasets / "small")),
        ("emoji", None),
    }


def test_of_several_runs_the_first_is_started_and_the_others_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle_engine(monkeypatch)
    supervised: list[object] = []
    monkeypatch.setattr("vld_tui.dashboard.actions.start_supervisor", supervised.append)
    home = open_home(tmp_path / "home")
    actions = LocalActions(home)
    specs = [resolve_spec({"seed": seed}) for seed in range(3)]
    said = actions.start(*specs)
    with Store.open(home) as store:
        assert [run.seed for run in store.queue()] == [1, 2], "in order"
        (started,) = store.live_runs()
        assert started.seed == 0
    assert said == f"{started.name} is starting; 2 runs wait for a free slot"
    assert supervised == [home]
    assert actions.start(specs[0]) == f"{started.name} is starting"
    assert supervised == [home], "nothing else waits"
    assert actions.queue(specs[1]).endswith("-s1 waits for a free slot")


def test_where_the_first_cannot_be_started_none_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise LaunchError("no process")

    monkeypatch.setattr("vld_tui.dashboard.actions.launch", refuse)
    home = open_home(tmp_path / "home")
    with pytest.raises(LaunchError):
        LocalActions(home).start(resolve_spec({"seed": 0}), resolve_spec({"seed": 1}))
    with Store.open(home) as store:
        assert store.count_runs() == 0
