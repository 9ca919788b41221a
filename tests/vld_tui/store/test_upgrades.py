"""Databases of every earlier version, with rows in them, as SQL texts in ``released/``."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.protocol import resolve_spec
from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.store.release import RELEASED, load, newest_dump
from vld_tui.dashboard.feed import HistorySource, Interest
from vld_tui.home import Home
from vld_tui.store import database, migrations
from vld_tui.store.database import MIGRATIONS, Database
from vld_tui.store.errors import StoreError
from vld_tui.store.store import Store

TOLD = "250101-000000-aaaa"


def dump(home: Home) -> list[str]:
    with closing(sqlite3.connect(home.database)) as connection:
        return [*connection.iterdump(), str(connection.execute("PRAGMA user_version").fetchone())]


def test_every_version_is_kept() -> None:
    assert tuple(sorted(path.stem for path in RELEASED.iterdir())) == MIGRATIONS, (
        "keep the newest schema: python -m tests.vld_tui.store.release"
    )


def test_the_newest_version_is_kept_as_the_newest_migration_makes_it(tmp_path: Path) -> None:
    def tables(dump: str) -> list[str]:
        return [line for line in dump.splitlines() if not line.startswith("INSERT")]

    kept = (RELEASED / f"{MIGRATIONS[-1]}.sql").read_text()
    assert tables(newest_dump(tmp_path / "home")) == tables(kept)


@pytest.mark.parametrize("name", MIGRATIONS)
def test_a_database_of_before_keeps_its_data(home: Home, name: str) -> None:
    load(home, name)
    with Store.open(home) as store:
        assert store.health()["integrity"] == "ok"
        (run,), (thrown,) = store.runs.find(), store.runs.find(trashed=True)
        assert (run.run_id, run.name, run.tags, run.note) == (
            TOLD,
            "told",
            ("a", "b"),
            "it's a note",
        )
        assert (run.status, run.selected_step, run.id_accuracy) == ("finished", 10, 0.75)
        assert (run.ood_accuracy, run.loss, run.step) == (0.25, 1.5, 20)
        assert run.spec == resolve_spec({"dataset": "emoji", "seed": 3})
        assert (thrown.name, thrown.trashed_at) == ("thrown", 9.0)
        (attempt,), (checkpoint,) = store.series.timeline(TOLD), store.checkpoints.saved(TOLD)
        assert (attempt.outcome, checkpoint.bytes) == ("finished", 1000)
        points = {
            (each.name, each.split, each.step): each.value for each in store.series.metrics(TOLD)
        }
        assert points == {
            ("loss", "train", 10): 2.0, ("loss", "train", 20): 1.5,
            ("accuracy", "out", 10): 0.75, ("accuracy", "in", 10): 0.25,
        }  # fmt: skip
        assert store.settings.get("slots", int, 1) == (2 if name >= "m003" else 1)
        assert len(store.series.arms([TOLD])) == (name >= "m006")
    record = Vld(home.path).json("show", TOLD)
    assert (record["id_accuracy"], record["id_interval"], record["ood_interval"]) == (
        0.75, None, None  # its folder, which knows the numbers of images, is not there
    )  # fmt: skip


@pytest.mark.parametrize("failing", range(1, len(MIGRATIONS)))
def test_a_change_that_fails_leaves_the_database_to_the_older_version(
    home: Home, failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(home, MIGRATIONS[0])
    before = dump(home)
    step = migrations.migrations._migrations[failing]
    work: Callable[[Any], None] = step.fn

    def fail(db: Any) -> None:
        work(db)
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patched:
        patched.setattr(step, "fn", fail)
        with pytest.raises(StoreError, match="disk I/O error"):
            Store.open(home)
    assert dump(home) == before
    with monkeypatch.context() as patched:
        patched.setattr(database, "MIGRATIONS", MIGRATIONS[:1])  # as the older version knows
        with closing(Database.open(home.database)) as older, older.write() as connection:
            connection.execute("UPDATE runs SET note = 'still used'")
    with Store.open(home) as store:
        assert [run.note for run in store.runs.find()] == ["still used"]


@pytest.mark.parametrize("known", range(1, len(MIGRATIONS)))
def test_an_older_version_refuses_a_newer_home(
    home: Home, known: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store.open(home).close()
    before = dump(home)
    monkeypatch.setattr(database, "MIGRATIONS", MIGRATIONS[:known])
    refused = Vld(home.path)("ls")
    assert refused.exit_code == 2
    assert "written by a newer version" in refused.stderr
    assert "Upgrade vld-tui" in refused.stderr
    source = HistorySource(home)
    problem = source.take(Interest()).problem
    source.close()
    assert problem is not None
    assert "newer version" in problem
    assert dump(home) == before
