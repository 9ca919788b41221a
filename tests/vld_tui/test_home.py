from __future__ import annotations

import json
from collections import namedtuple
from pathlib import Path

import platformdirs
import psutil
import pytest
from typer.testing import CliRunner

from engine.protocol import resolve_spec
from vld_tui.cli import app
from vld_tui.dashboard.feed import HistorySource, Interest
from vld_tui.home import Home, HomeError, find_named_home, is_on_network, open_home
from vld_tui.store.errors import StoreError
from vld_tui.store.store import Store


def test_an_option_wins_over_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLD_HOME", str(tmp_path / "named"))
    assert open_home(tmp_path / "given").path == tmp_path / "given"
    assert open_home(None).path == tmp_path / "named"


def test_a_tilde_of_an_unknown_user_is_part_of_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_home(Path("~no-such-user/here")).path == tmp_path / "~no-such-user" / "here"
    monkeypatch.setenv("VLD_HOME", "~no-such-user")
    assert open_home(None).path == tmp_path / "~no-such-user"


def test_an_empty_variable_means_the_platform_s_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLD_HOME", "")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_home(None).path == platformdirs.user_data_path("vld-tui")
    assert tmp_path in open_home(None).path.parents


def test_opening_makes_the_folders_once(tmp_path: Path) -> None:
    home = open_home(tmp_path / "deep" / "home")
    (home.run_dir("a").path).mkdir()
    again = open_home(home.path)
    assert all(folder.is_dir() for folder in (again.runs, again.trash, again.cache))
    assert home.run_dir("a").path.is_dir()


def test_a_relative_home_does_not_move_with_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_home(Path("here")).path == tmp_path / "here"


def test_a_run_finds_the_home_s_cache(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    assert home.run_dir("a").cache == home.cache


def test_a_home_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    with pytest.raises(HomeError, match=r"Cannot write to .*file/home: .*--home DIR or VLD_HOME"):
        open_home(file / "home")


def test_a_home_that_is_a_file_is_called_one(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    for home in (file, file / "home"):
        with pytest.raises(HomeError, match=r"cannot be used: .*file is a file, not a folder"):
            find_named_home(home)


Partition = namedtuple("Partition", ("mountpoint", "fstype"))


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Return a home on what this machine takes for a network's disk."""
    (tmp_path / "disk").mkdir()
    mounts = [Partition("/", "ext4"), Partition(str(tmp_path / "disk"), "nfs4")]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: mounts)  # noqa: A006
    local = tmp_path / "local"
    local.mkdir()
    monkeypatch.setattr("vld_tui.home._LOCAL_DISK", local)
    is_on_network.cache_clear()
    return open_home(tmp_path / "disk" / "home")


def test_a_database_lies_in_its_home_on_a_disk_of_this_machine(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    assert home.database == home.path / "vld.db"


def test_of_a_home_on_a_shared_disk_it_lies_elsewhere_and_is_made_of_the_folders(
    shared: Home,
) -> None:
    with Store.open(shared) as store:
        run = store.runs.create(resolve_spec({}), name="one")
    folder = shared.database.parent
    assert not shared.database.is_relative_to(shared.path)
    assert folder.stat().st_mode & 0o077 == 0
    assert list(shared.path.glob("vld.db*")) == []
    for path in folder.iterdir():  # as on another login node
        path.unlink()
    with Store.open(shared) as store:
        assert [each.run_id for each in store.runs.find()] == [run.run_id]


def make_elsewhere(home: Home, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Make a run of a home on another login node."""
    with monkeypatch.context() as there:
        there.setenv("VLD_DATABASES", str(home.path.parent.parent / "another"))
        with Store.open(home) as store:
            store.runs.create(resolve_spec({}), name=name)


def names(store: Store) -> set[str]:
    return {run.name for run in store.runs.find()}


def test_what_is_made_on_another_login_node_is_looked_for_now_and_then(
    shared: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_elsewhere(shared, monkeypatch, "first")
    with Store.open(shared) as store:
        assert names(store) == {"first"}, "the database is made of the folders"
    make_elsewhere(shared, monkeypatch, "second")
    with Store.open(shared) as store:
        assert names(store) == {"first"}, "nobody asked"
        store.folders.look_for_others()
        assert names(store) == {"first", "second"}
        make_elsewhere(shared, monkeypatch, "third")
        store.folders.look_for_others()
        assert names(store) == {"first", "second"}, "a moment ago it was looked"
        monkeypatch.setattr("vld_tui.store.folders.OTHERS_S", 0.0)
        store.folders.look_for_others()
        assert names(store) == {"first", "second", "third"}
        shared.runs.rename(shared.path / "away")
        with pytest.raises(StoreError, match="Cannot list .*runs: No such file"):
            store.folders.look_for_others()


def test_commands_and_the_dashboard_know_what_is_made_on_another_login_node(
    shared: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(shared):
        pass
    make_elsewhere(shared, monkeypatch, "first")
    listed = CliRunner(env={"VLD_HOME": str(shared.path)}).invoke(app, ["ls", "--json"])
    assert [run["name"] for run in json.loads(listed.stdout)] == ["first"]
    monkeypatch.setattr("vld_tui.store.folders.OTHERS_S", 0.0)
    source = HistorySource(shared)
    assert source.take(Interest()).count == 1
    make_elsewhere(shared, monkeypatch, "second")
    assert source.take(Interest()).count == 2
    source.close()


def test_one_that_a_person_put_there_is_taken(shared: Home) -> None:
    (shared.path / "vld.db").touch()
    assert shared.database == shared.path / "vld.db"


def test_the_environment_names_where_they_lie_one_for_each_home(
    shared: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLD_DATABASES", str(tmp_path / "mine"))
    other = open_home(tmp_path / "other")
    for home in (shared, other):
        with Store.open(home):
            pass
    assert shared.database != other.database
    assert len(list((tmp_path / "mine").glob("*/vld.db"))) == 2


def test_a_folder_that_is_somebody_elses_is_refused(shared: Home, tmp_path: Path) -> None:
    own = shared.database.parent.parent
    (tmp_path / "theirs").mkdir()
    own.symlink_to(tmp_path / "theirs")
    with pytest.raises(StoreError, match="belongs to another user"):
        Store.open(shared)
