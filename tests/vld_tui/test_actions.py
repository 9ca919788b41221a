"""What the dashboard does to runs, on a real home."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import pytest

from engine.datasets.register import add_dataset
from engine.protocol import resolve_spec
from engine.protocol.datasets import AddDataset
from vld_tui.actions import LocalActions
from vld_tui.home import open_home
from vld_tui.launch.local import launch


def test_a_run_finds_the_data_set_that_was_added_under_its_name(
    tmp_path: Path, small_emoji: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle = functools.partial(launch, command=(sys.executable, "-c", "pass"))
    monkeypatch.setattr("vld_tui.actions.launch", idle)
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
