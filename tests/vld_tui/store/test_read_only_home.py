"""A home on a disk that cannot be written can still be looked at."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vld_tui
from engine.protocol import resolve_spec
from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.store.told_runs import Teller
from vld_tui.dashboard.feed import HistorySource, Interest
from vld_tui.home import Home, HomeError, open_home
from vld_tui.store.errors import StoreError
from vld_tui.store.store import Store


@pytest.fixture
def told(home: Home) -> str:
    """Return a finished run."""
    with Store.open(home) as store:
        run = store.runs.create(resolve_spec({}), name="alone")
        Teller(home.run_dir(run.run_id)).finishes()
        store.live.refresh()
    return run.run_id


@pytest.fixture
def mounted(home: Home, told: str, tmp_path: Path) -> Iterator[Home]:
    """Mount a copy of the home on a file system that turns read-only."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system takes root")
    try:
        shutil.copytree(home.path, place / "home")
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        yield Home(place / "home")
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_runs_are_listed_and_nothing_is_changed(mounted: Home, told: str) -> None:
    home = open_home(mounted.path, to_look=True)
    with Store.open(home) as store:
        assert store.database.is_read_only
        store.live.refresh()
        assert [run.run_id for run in store.runs.find()] == [told]
        assert store.runs.get("alone").status == "finished"
        with pytest.raises(StoreError, match="cannot be used"):
            store.labels.set_note(told, "not here")
    with pytest.raises(HomeError, match="Cannot write to"):
        open_home(mounted.path)
    with pytest.raises(HomeError, match="Cannot write to"):
        open_home(mounted.path / "no history", to_look=True)


def test_commands_that_look_work_and_those_that_change_say_why_not(mounted: Home) -> None:
    vld = Vld(mounted.path)
    assert vld.json("ls")[0]["name"] == "alone"
    assert vld("show", "alone").exit_code == 0
    assert vld("curve", "alone").exit_code == 0
    refused = vld("note", "alone", "not here")
    assert refused.exit_code == 2
    assert "Cannot write to" in refused.stderr


def test_python_reads_it(mounted: Home, told: str) -> None:
    assert [row["run"] for row in vld_tui.runs(home=mounted.path)] == [told]
    assert vld_tui.run("alone", home=mounted.path).metrics() != []


def test_the_dashboard_s_source_reads_it(mounted: Home, told: str) -> None:
    source = HistorySource(mounted)
    snapshot = source.take(Interest(watched=(told,), opened=told))
    assert (snapshot.is_read_only, snapshot.problem, snapshot.count) == (True, None, 1)
    assert snapshot.opened is not None
    source.close()


def test_another_history_in_its_place_is_noticed(home: Home, told: str, tmp_path: Path) -> None:
    source = HistorySource(home)
    assert source.take(Interest()).count == 1
    other = open_home(tmp_path / "other")
    with Store.open(other) as store:
        for seed in range(2):
            store.runs.create(resolve_spec({"seed": seed}))
    os.replace(other.database, home.database)
    for name in ("vld.db-wal", "vld.db-shm"):
        (home.path / name).unlink(missing_ok=True)
    assert source.take(Interest()).count == 2
    assert not source.take(Interest()).is_read_only
    source.close()


def test_a_history_that_is_damaged_for_a_while_is_read_again(home: Home, told: str) -> None:
    source = HistorySource(home)
    source.take(Interest())
    source.close()
    whole = home.database.read_bytes()
    home.database.write_bytes(b"not a database, whatever it is" * 400)
    snapshot = source.take(Interest())
    assert snapshot.problem is not None
    assert "damaged" in snapshot.problem
    home.database.write_bytes(whole)
    again = source.take(Interest())
    assert (again.problem, again.count) == (None, 1)
    source.close()


@pytest.mark.parametrize("has_room", [True, False])
def test_one_whose_latest_changes_lie_in_its_log_is_read_elsewhere_or_refused_in_words(
    home: Home, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_room: bool
) -> None:
    copy = open_home(tmp_path / "copy")
    with Store.open(home) as store:
        store.labels.rename(told, "renamed")
        for name in ("vld.db", "vld.db-wal"):  # as a backup of a home in use takes it
            shutil.copy(home.path / name, copy.path / name)
    connect = sqlite3.connect

    def refusing(place: str | Path, **options: Any) -> sqlite3.Connection:
        """Do what SQLite does where it cannot make the index of the log."""
        if str(copy.path) in str(place) or not has_room:
            raise sqlite3.OperationalError("unable to open database file")
        found: sqlite3.Connection = connect(place, **options)
        return found

    monkeypatch.setattr("vld_tui.store.database._is_writable", lambda _: False)
    monkeypatch.setattr("vld_tui.store.database.sqlite3.connect", refusing)
    if has_room:
        with Store.open(copy) as store:
            assert (store.database.is_read_only, store.runs.get(told).name) == (True, "renamed")
        return
    with pytest.raises(StoreError, match=r"latest changes are in vld\.db-wal"):
        Store.open(copy)
