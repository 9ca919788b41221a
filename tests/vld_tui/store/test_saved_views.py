"""Views of the list of runs under names."""

from __future__ import annotations

from pathlib import Path

import pytest

from vld_tui.home import Home
from vld_tui.store.errors import StoreError
from vld_tui.store.saved_views import SavedView
from vld_tui.store.store import Store


def test_views_are_saved_replaced_and_deleted(tmp_path: Path) -> None:
    with Store.open(Home(tmp_path)) as store:
        store.views.save("mine", SavedView(filter="seed=1"))
        store.views.save("mine", SavedView(filter="seed=2", columns=("name", "seed")))
        store.views.save("all", SavedView())
        assert [*store.views.all()] == ["all", "mine"]
        assert store.views.get("mine").filter == "seed=2"
        with pytest.raises(StoreError, match="No saved view 'mien'. Did you mean mine?"):
            store.views.get("mien")
        with pytest.raises(StoreError, match="printable"):
            store.views.save("a\nb", SavedView())
        store.views.delete("mine")
        assert [*store.views.all()] == ["all"]


def test_damaged_views_are_reported_until_one_is_saved(tmp_path: Path) -> None:
    with Store.open(Home(tmp_path)) as store:
        store.settings.put("views", {"mine": {"filter": 3}})
        with pytest.raises(StoreError, match="saved views in .* are damaged: Expected `str`"):
            store.views.all()
        store.views.save("new", SavedView())
        assert [*store.views.all()] == ["new"]
