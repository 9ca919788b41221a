"""A database that is damaged: said so, kept aside by ``vld rebuild``, and made again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engine.protocol import resolve_spec
from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.store.told_runs import Teller
from vld_tui.home import Home, open_home
from vld_tui.runs.run import Run
from vld_tui.store.store import Store


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "home")


def fill(home: Home) -> list[Run]:
    with Store.open(home) as store:
        for seed in range(12):
            run = store.runs.create(resolve_spec({"seed": seed}), name=f"run-{seed}")
            Teller(store.runs.run_dir(run.run_id)).finishes()
        store.live.refresh()
        return store.runs.find()


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.75, 0.99])
@pytest.mark.parametrize("is_cut", [True, False], ids=["cut", "garbled"])
def test_a_damaged_database_is_put_aside_and_read_again(
    home: Home, share: float, is_cut: bool
) -> None:
    before = fill(home)
    whole = home.database.read_bytes()
    place = max(100, int(share * len(whole)) // 4096 * 4096)
    garbled = whole[:place] + b"\xa5" * 4096 + whole[place + 4096 :]
    damaged = whole[:place] if is_cut else garbled
    home.database.write_bytes(damaged)
    vld = Vld(home.path)
    vld("ls")  # which may or may not come across the damage
    rebuilt = vld("rebuild")
    assert rebuilt.exit_code == 0, rebuilt.stderr
    assert "moved it to" in rebuilt.stderr
    kept = [path for path in home.path.glob("vld.db.damaged-*") if path.suffix[-4:-3] != "-"]
    assert damaged[:4096] in [path.read_bytes()[:4096] for path in kept]
    with Store.open(home) as store:
        assert [run.name for run in store.runs.find()] == [run.name for run in before]
        assert [run.ood_accuracy for run in store.runs.find()] == [0.5] * 12
        assert store.health()["integrity"] == "ok"


def test_damage_is_told_with_what_to_do(home: Home) -> None:
    fill(home)
    home.database.write_bytes(b"\xa5" * 8192)
    refused = Vld(home.path)("ls")
    assert refused.exit_code == 2
    assert "is damaged" in refused.stderr
    assert "vld rebuild" in refused.stderr


def test_a_whole_database_is_rebuilt_in_its_place(home: Home) -> None:
    fill(home)
    number = home.database.stat().st_ino
    rebuilt = Vld(home.path)("rebuild")
    assert (rebuilt.exit_code, rebuilt.stderr) == (0, "")
    assert home.database.stat().st_ino == number


@pytest.mark.parametrize("damage", ["lost", "cut", "garbled"])
def test_a_damaged_write_ahead_log_costs_its_changes_until_a_rebuild(
    home: Home, tmp_path: Path, damage: str
) -> None:
    with Store.open(home) as store:
        store.runs.create(resolve_spec({}), name="early")
    with Store.open(home) as store:
        store.runs.create(resolve_spec({"seed": 1}), name="late")
        copy = open_home(tmp_path / "copy")  # as power loss leaves it
        shutil.copytree(home.runs, copy.runs, dirs_exist_ok=True)
        shutil.copy(home.database, copy.database)
        log = home.database.with_name("vld.db-wal").read_bytes()
    if damage != "lost":
        middle = len(log) // 2
        torn = log[:middle] if damage == "cut" else log[:100] + b"\xa5" * 200 + log[300:]
        copy.database.with_name("vld.db-wal").write_bytes(torn)
    vld = Vld(copy.path)
    assert [run["name"] for run in vld.json("ls")][-1:] == ["early"]
    assert vld("rebuild").exit_code == 0
    assert {run["name"] for run in vld.json("ls")} == {"early", "late"}
