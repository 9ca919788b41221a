"""A database that cannot be written, or not even read: commands that look at runs work from the
run folders, and say what is wrong with the database."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from engine.protocol import resolve_spec
from engine.rundir import RunDir
from tests.faults.disks import fill_up, small_disk
from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.store.told_runs import (
    Teller,
    dead_process,
    failed,
    finished,
    started,
    steps_taken,
)
from vld_tui.dashboard.feed import HistorySource, Interest
from vld_tui.home import Home, open_home
from vld_tui.store import database
from vld_tui.store.errors import StoreError
from vld_tui.store.store import Store


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a database that is locked for a moment only."""
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.05)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "home")


def make_running(home: Home, name: str = "works") -> RunDir:
    """Make a run that history knows to have started."""
    with Store.open(home) as store:
        run_dir = store.runs.run_dir(
            store.runs.create(resolve_spec({"steps": 20}), name=name).run_id
        )
        Teller(run_dir).starts()
        store.live.refresh()
    return run_dir


def end_badly(run_dir: RunDir) -> None:
    """Let a run fail without anybody having history take it in."""
    dead_process(run_dir, exit_code=1)
    Teller(run_dir).says(steps_taken(7, 1.0), failed("the disk is full", step=7))


@contextmanager
def held(home: Home, mode: str) -> Iterator[None]:
    """Hold the database as another program does: so that it cannot be written, or not read."""
    with closing(sqlite3.connect(home.database, isolation_level=None)) as connection:
        if mode == "unreadable":
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


@pytest.mark.parametrize("mode", ["unwritable", "unreadable"])
def test_a_run_is_shown_from_its_folder_while_the_database_is_locked(home: Home, mode: str) -> None:
    run_dir = make_running(home)
    end_badly(run_dir)
    vld = Vld(home.path)
    with held(home, mode):
        for reference in ("works", run_dir.run_id, "@last", run_dir.run_id[:12]):
            shown = vld("show", reference)
            assert (shown.exit_code, "✗ failed" in shown.stdout) == (0, True), shown.stderr
            assert "is locked by another program. Try again" in shown.stderr
        assert "7/20" in vld("logs", "works").stdout
        assert "training" in vld("curve", "works").stdout
        missing = vld("show", "nobody")
        assert (missing.exit_code, "No run 'nobody'" in missing.stderr) == (2, True)
        listed = vld("ls", "--json")
        if mode == "unwritable":
            assert '"status":"failed"' in listed.stdout.replace('": ', '":')
            assert "is locked by another program" in listed.stderr
        else:
            assert (listed.exit_code, "Try again" in listed.stderr) == (2, True)
    assert vld.json("show", "works")["status"] == "failed"


@pytest.mark.parametrize("mode", ["unwritable", "unreadable"])
def test_a_run_is_stopped_while_the_database_is_locked(home: Home, mode: str) -> None:
    run_dir = make_running(home)
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    run_dir.write_process(process.pid)
    Teller(run_dir).says(started(attempt=2))
    with Store.open(home) as store:
        store.live.refresh()
    with held(home, mode):
        stopped = Vld(home.path)("stop", "works")
    assert stopped.exit_code == 0, stopped.stderr
    assert process.wait(10) == -signal.SIGTERM
    assert mode == "unwritable" or "is locked by another program" in stopped.stderr


def test_a_run_that_waits_is_not_said_to_be_stopped_while_the_database_is_locked(
    home: Home,
) -> None:
    with Store.open(home) as store:
        store.runs.create(resolve_spec({}), name="waits", is_queued=True)
        make_running(home)
        end_badly(make_running(home, "other"))
    vld = Vld(home.path)
    with held(home, "unwritable"):
        refused = vld("stop", "waits")
    assert refused.exit_code == 2
    assert "cannot be written" in refused.stderr
    assert [run["name"] for run in vld.json("queue", "ls")["waiting"]] == ["waits"]


def test_what_changes_history_is_refused_while_it_is_locked(home: Home) -> None:
    end_badly(make_running(home))
    vld = Vld(home.path)
    with held(home, "unwritable"):
        refused = vld("note", "works", "lost?")
    assert refused.exit_code == 2
    assert "is locked by another program. Try again" in refused.stderr
    assert vld.json("show", "works")["note"] == ""


def test_the_true_state_is_shown_on_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 16) as place:
        home = open_home(place / "home")
        run_dir = make_running(home)
        end_badly(run_dir)
        filler = fill_up(place)
        vld = Vld(home.path)
        (listed,) = vld.json("ls")
        assert (listed["status"], listed["step"]) == ("failed", 7)
        assert "no space left" in vld("ls").stderr
        for command in ("show", "logs", "curve"):
            shown = vld(command, "works")
            assert shown.exit_code == 0, shown.stderr
        assert "✗ failed" in vld("show", "works").stdout
        filler.unlink()
        assert vld("ls").stderr == ""


@pytest.mark.parametrize("log", ["empty", "gone", "with changes"])
def test_a_full_disk_is_said_to_be_full_whatever_sqlite_calls_it(tmp_path: Path, log: str) -> None:
    with small_disk(tmp_path / "disk", 16) as place:
        home = open_home(place / "home")
        run_dir = make_running(home)
        wal = home.database.with_name("vld.db-wal")
        if log == "with changes":
            with closing(sqlite3.connect(home.database)) as connection:
                connection.execute("UPDATE runs SET note = 'in the log'")
                connection.commit()
                kept = wal.read_bytes()
            wal.write_bytes(kept)
        elif log == "empty":
            wal.touch()
        end_badly(run_dir)
        fill_up(place)
        vld = Vld(home.path)
        for command in (["ls"], ["show", "works"], ["logs", "works"]):
            done = vld(*command)
            assert (done.exit_code, "Traceback" in done.stderr) == (0, False), done.stderr
            assert "no space left" in done.stderr
        refused = vld("note", "works", "x")
        assert (refused.exit_code, "no space left" in refused.stderr.lower()) == (2, True), (
            refused.stderr
        )


def test_live_runs_are_shown_as_they_are_on_a_disk_that_is_only_read(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 16) as place:
        home = open_home(place / "home")
        end_badly(make_running(home))
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        vld = Vld(home.path)
        assert vld.json("ls")[0]["status"] == "failed"
        assert vld.json("show", "works")["status"] == "failed"
        assert vld("data", "ls").exit_code == 0
        refused = vld("data", "add", "x", str(tmp_path))
        assert refused.exit_code == 2


def test_a_lost_database_is_named_until_it_is_rebuilt(home: Home) -> None:
    with Store.open(home) as store:
        for seed in range(4):
            Teller(
                store.runs.run_dir(store.runs.create(resolve_spec({"seed": seed})).run_id)
            ).finishes()
    for path in home.path.glob("vld.db*"):
        path.unlink()
    home.database.touch()
    vld = Vld(home.path)
    hint = f"4 run folders in {home.runs} not in the database; run: vld rebuild"
    assert hint in vld("ls").stderr
    with Store.open(home) as store:
        Teller(store.runs.run_dir(store.runs.create(resolve_spec({"seed": 4})).run_id)).finishes()
    for _ in range(2):
        listed = vld("ls")
        assert hint in listed.stderr
        assert len(listed.stdout.splitlines()) == 2
    source = HistorySource(home)
    assert "4 run folders not in the database" in str(source.take(Interest()).problem)
    source.close()
    assert vld("rebuild").exit_code == 0
    assert vld("ls").stderr == ""
    assert len(vld.json("ls")) == 5


def test_the_hint_goes_when_the_folders_go(home: Home) -> None:
    make_running(home)
    for path in home.path.glob("vld.db*"):
        path.unlink()
    vld = Vld(home.path)
    assert "1 run folder in" in vld("ls").stderr
    shutil.rmtree(next(home.runs.iterdir()))
    assert "not in the database" not in vld("ls").stderr


def test_a_query_that_sqlite_refuses_is_no_damage(home: Home) -> None:
    make_running(home)
    with Store.open(home) as store:
        for limit in (2**70, -(2**70)):
            with pytest.raises(StoreError) as refused:
                store.runs.find(limit=limit)
            assert "rebuild" not in str(refused.value)
            assert "damaged" not in str(refused.value)


def test_a_table_that_is_gone_is_damage(home: Home) -> None:
    make_running(home)
    with closing(sqlite3.connect(home.database)) as connection, connection:
        connection.execute("DROP TABLE arms")
    refused = Vld(home.path)("ls")
    assert refused.exit_code == 2
    assert "was changed by another program, or is damaged" in refused.stderr
    assert os.path.exists(home.database)


def test_finished_runs_are_listed_while_the_database_is_locked(home: Home) -> None:
    run_dir = make_running(home)
    Teller(run_dir).says(finished(20, selected_step=5, id_accuracy=0.5, ood_accuracy=0.5))
    with Store.open(home) as store:
        store.live.refresh()
    with held(home, "unwritable"):
        listed = Vld(home.path)("ls")
    assert (listed.exit_code, listed.stderr) == (0, "")
