"""Runs that another one is compared with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engine.protocol import resolve_spec
from tests.vld_tui.store.told_runs import Teller, evaluated, finished, started
from vld_tui.control.flips import erm_twin, partners, read_flips
from vld_tui.home import Home
from vld_tui.runs.flips import FlipsError
from vld_tui.store.store import Store


def trained(store: Store, home: Home, **fields: object) -> str:
    run = store.runs.create(resolve_spec({"dataset": "emoji", "target": "noto", **fields}))
    Teller(home.run_dir(run.run_id)).says(
        started(),
        *evaluated(10, id_accuracy=0.7, ood_accuracy=0.5),
        finished(10, selected_step=10, id_accuracy=0.7, ood_accuracy=0.5),
    )
    store.live.refresh()
    return run.run_id


def test_the_marked_runs_the_erm_twin_and_the_last_run_come_first(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with Store.open(home) as store:
        twin = trained(store, home, dropout_rate=0.0)
        trained(store, home, dropout_rate=0.0, seed=1)
        run = trained(store, home, dropout_rate=0.9, seed=0)
        marked = trained(store, home, dropout_rate=0.5)
        last = trained(store, home, dropout_rate=0.3, target="fluent")
        found = erm_twin(store, store.runs.get(run))
        assert found is not None
        assert found.run_id == twin
        assert erm_twin(store, store.runs.get(twin)) is None
        offered = partners(store, run, [marked, run, "gone"])
        assert [each.run.run_id for each in offered][:3] == [marked, twin, last]
        assert [each.why for each in offered][:3] == [
            "marked", "ERM twin: no dropout, same seed", "last run",
        ]  # fmt: skip
        assert len(offered) == 4


def test_a_run_whose_folder_was_deleted_is_not_offered_and_named_in_the_error(
    tmp_path: Path,
) -> None:
    home = Home(tmp_path)
    with Store.open(home) as store:
        gone, run = trained(store, home, seed=0), trained(store, home, seed=1)
        shutil.rmtree(home.run_dir(gone).path)
        gone_run = store.runs.get(gone)
        assert partners(store, run) == []
        with pytest.raises(FlipsError, match=f"folder of run {gone} is missing"):
            read_flips(store, gone_run, store.runs.get(run))
