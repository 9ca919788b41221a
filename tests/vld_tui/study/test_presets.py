"""Presets in a real history."""

from __future__ import annotations

from pathlib import Path

import pytest

from vld_tui.home import open_home
from vld_tui.store.errors import StoreError
from vld_tui.store.store import Store
from vld_tui.study.presets import PRESETS_SETTING, drop_preset, keep_preset, read_presets


def test_presets_are_kept_replaced_and_forgotten(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    with Store.open(home) as store:
        keep_preset(store, " second ", {"seed": "0,1"})
        keep_preset(store, "First", {"lr": "0.1"})
        keep_preset(store, "second", {"seed": "0,1,2"})
    with Store.open(home) as store:
        kept = read_presets(store)
        assert list(kept.items()) == [("First", {"lr": "0.1"}), ("second", {"seed": "0,1,2"})]
        drop_preset(store, "First")
        drop_preset(store, "never there")
        assert list(read_presets(store)) == ["second"]


@pytest.mark.parametrize("name", ["", "   ", "x" * 61, "\ud800"])
def test_a_name_that_cannot_be_used_is_refused(tmp_path: Path, name: str) -> None:
    with Store.open(open_home(tmp_path / "home")) as store:
        with pytest.raises(StoreError, match="A preset name"):
            keep_preset(store, name, {})
        assert read_presets(store) == {}


def test_what_is_no_preset_is_passed_over(tmp_path: Path) -> None:
    with Store.open(open_home(tmp_path / "home")) as store:
        store.settings.put(PRESETS_SETTING, ["nonsense"])
        assert read_presets(store) == {}
