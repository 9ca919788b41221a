from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import sqlite_utils

from engine.protocol import (
    Combination,
    CombinationSpec,
    Parent,
    RunSpec,
    configuration_identity,
    encode_combination,
    resolve_spec,
    run_identity,
)
from engine.rundir import UserData
from tests.vld_tui.store.release import load
from vld_tui.home import Home, open_home
from vld_tui.store import migrations
from vld_tui.store.database import MIGRATIONS
from vld_tui.store.errors import StoreError
from vld_tui.store.store import Store
from vld_tui.study.planner import read_form_presets


def _execute(home: Home, sql: str) -> None:
    with closing(sqlite3.connect(home.database)) as connection, connection:
        connection.execute(sql)


def _insert_as_at_first(
    connection: sqlite3.Connection, run_id: str, spec: RunSpec, name: str
) -> None:
    """Add a run's row as the first release did, whose specs had no arms."""
    fields = msgspec.to_builtins(spec)
    for later in ("arms", "average_from", "objective", "keep_checkpoints"):
        del fields[later]
    connection.execute(
        "INSERT INTO runs (run_id, name, tags, note, created_at, spec, arm, target, launched_at, "
        "status) VALUES (?, ?, '', '', 5.0, ?, 'dropout', ?, 5.0, 'starting')",
        [run_id, name, msgspec.json.encode(fields), spec.target],
    )


def _schema(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
        ).fetchall()


def test_the_names_known_without_sqlite_utils_are_those_of_the_migrations() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrations.apply(connection)
        names = connection.execute("SELECT name FROM _sqlite_migrations ORDER BY id").fetchall()
    assert tuple(name for (name,) in names) == MIGRATIONS


def test_a_new_database_gets_the_newest_schema_and_write_ahead_logging(home: Home) -> None:
    with Store.open(home) as store:
        assert store.health()["schema"] == len(MIGRATIONS)
        assert store.health()["integrity"] == "ok"
    with closing(sqlite3.connect(home.database)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_an_empty_database_file_is_a_new_one(home: Home) -> None:
    home.database.touch()
    with Store.open(home) as store:
        assert store.runs.find() == []


def test_opening_the_newest_changes_nothing(home: Home) -> None:
    with Store.open(home) as store:
        run = store.runs.create(resolve_spec({}))
    before = _schema(home.database)
    with Store.open(home) as store:
        assert store.runs.find() == [run]
    assert _schema(home.database) == before


def test_a_database_of_a_newer_program_is_left_alone(home: Home) -> None:
    Store.open(home).close()
    _execute(
        home,
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) "
        "VALUES ('vld', 'm999_from_the_future', 'tomorrow')",
    )
    before = home.database.read_bytes()
    with pytest.raises(StoreError, match=r"vld\.db was written by a newer version .* Upgrade"):
        Store.open(home)
    assert home.database.read_bytes() == before


def test_a_higher_user_version_is_newer_too(home: Home) -> None:
    Store.open(home).close()
    _execute(home, f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(StoreError, match="newer version"):
        Store.open(home)


def test_migrations_of_others_in_the_same_file_do_not_matter(home: Home) -> None:
    Store.open(home).close()
    _execute(
        home,
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) "
        "VALUES ('plugin', 'm999', 'today')",
    )
    Store.open(home).close()


def test_a_database_of_another_program_is_not_taken_over(home: Home) -> None:
    _execute(home, "CREATE TABLE runs (something TEXT)")
    with pytest.raises(StoreError, match="is damaged: table runs already exists"):
        Store.open(home)
    assert _schema(home.database) == [("runs", "CREATE TABLE runs (something TEXT)")]


def test_a_file_that_is_no_database_is_called_damaged(home: Home) -> None:
    home.database.write_bytes(b"this was a database once" * 100)
    with pytest.raises(StoreError, match=r"vld\.db is damaged: .*\n.*vld rebuild"):
        Store.open(home)


def test_a_truncated_database_is_called_damaged(home: Home) -> None:
    with Store.open(home) as store:
        for seed in range(50):
            store.runs.create(resolve_spec({"seed": seed}))
    content = home.database.read_bytes()
    home.database.write_bytes(content[:8192])
    with pytest.raises(StoreError, match="damaged"), Store.open(home) as store:
        store.runs.find()


def test_processes_that_open_a_new_home_at_once_all_succeed(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    code = (
        "import sys; from pathlib import Path; from vld_tui.home import Home; "
        "from vld_tui.store.store import Store; Store.open(Home(Path(sys.argv[1]))).close()"
    )
    command = [sys.executable, "-c", code, str(home.path)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(4)]
    for process in processes:
        _, complaint = process.communicate()
        assert process.returncode == 0, complaint.decode()


def test_the_oldest_database_is_brought_up_to_date_with_its_runs(
    home: Home, tmp_path: Path
) -> None:
    user, spec = UserData(name="old", created_at=5.0), resolve_spec({"seed": 3})
    with closing(sqlite3.connect(home.database)) as connection, connection:
        migrations.migrations.apply(sqlite_utils.Database(connection), stop_before=MIGRATIONS[1])
        _insert_as_at_first(connection, "250101-000000-aaaa", spec, "old")
        connection.execute("PRAGMA user_version = 1")
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("UPDATE runs SET status = 'queued'")
    home.run_dir("250101-000000-aaaa").create(spec, user)
    with Store.open(home) as store:
        (run,) = store.runs.find()
        assert (run.name, run.seed, run.status) == ("old", 3, "starting")
        assert run.spec == spec
        assert run.combination is None
        assert store.runs.by_identity([run_identity(spec)]) == {run_identity(spec): [run]}
        assert store.health()["integrity"] == "ok"
    with Store.open(open_home(tmp_path / "new")):
        pass
    assert _schema(home.database) == _schema(tmp_path / "new" / "vld.db")
    _execute(home, "UPDATE runs SET status = 'queued'")
    with pytest.raises(sqlite3.IntegrityError):
        _execute(home, "UPDATE runs SET status = 'asleep'")


def test_identities_of_before_are_worked_out_anew(home: Home) -> None:
    spec = resolve_spec({"arms": ["ensemble", "averaged"]})
    soup = Combination(method="soup", parents=(Parent("a", "/a"), Parent("b", "/b")))
    texts = (None, encode_combination(soup).decode(), "damaged")
    with closing(sqlite3.connect(home.database)) as connection, connection:
        before = MIGRATIONS.index("m007_images")
        migrations.migrations.apply(
            sqlite_utils.Database(connection), stop_before=MIGRATIONS[before]
        )
        for number, text in enumerate(texts):
            _insert_as_at_first(connection, f"run-{number}", spec, "a")
            connection.execute(
                "UPDATE runs SET combination = ?, identity = 'old', configuration = 'old', "
                "spec = ? WHERE run_id = ?",
                [text, msgspec.json.encode(spec).decode(), f"run-{number}"],
            )
        connection.execute(f"PRAGMA user_version = {before}")
    Store.open(home).close()
    with closing(sqlite3.connect(home.database)) as connection:
        found = connection.execute("SELECT identity, configuration, data_digest FROM runs")
        task = CombinationSpec(spec, soup)
        assert found.fetchall() == [
            (run_identity(spec), configuration_identity(spec), ""),
            (run_identity(task), configuration_identity(task), ""),
            ("old", "old", ""),
        ]


@pytest.mark.parametrize(
    ("kept", "now"),
    [
        ({"lr": "0.1"}, {"lr": "0.1", "dataset": "emoji"}),
        ({"target": "noto", "dataset": "objects"}, {"target": "noto", "dataset": "objects"}),
        ({"data_dir": "/photos"}, {"data_dir": "/photos"}),
    ],
)
def test_presets_of_the_form_keep_the_data_set_they_were_saved_for(
    home: Home, kept: dict[str, str], now: dict[str, str]
) -> None:
    load(home, "m015_measures")
    text = msgspec.json.encode({"mine": kept}).decode()
    _execute(home, f"INSERT INTO settings VALUES ('presets', '{text}')")
    with Store.open(home) as store:
        assert read_form_presets(store) == {"mine": now}


def test_damaged_presets_do_not_keep_a_home_from_being_opened(home: Home) -> None:
    load(home, "m015_measures")
    _execute(home, "INSERT INTO settings VALUES ('presets', '{\"mine\": 3')")
    with Store.open(home) as store:
        assert read_form_presets(store) == {}


def test_values_in_rows_of_their_own_are_packed(home: Home) -> None:
    spec = resolve_spec({})
    losses = [(step, None if step == 7 else 1 / step) for step in range(1, 1001)]
    with closing(sqlite3.connect(home.database)) as connection, connection:
        before = MIGRATIONS.index("m004_series")
        migrations.migrations.apply(
            sqlite_utils.Database(connection), stop_before=MIGRATIONS[before]
        )
        _insert_as_at_first(connection, "a-run", spec, "a")
        connection.executemany(
            "INSERT INTO metrics VALUES (1, ?, 'train', 'sources', 'dropout', 'loss', ?)", losses
        )
        for domain in ("noto", "id"):
            connection.execute(
                "INSERT INTO metrics VALUES (1, 10, 'out', ?, 'dropout', 'accuracy', 0.5)", [domain]
            )
        connection.execute("INSERT INTO evaluations VALUES (1, 10, 'dropout', 0.75, 0.25)")
        connection.execute(f"PRAGMA user_version = {before}")
    home.run_dir("a-run").create(spec, UserData(name="a"))
    with Store.open(home) as store:
        read = store.series.metrics("a-run", name="loss")
        assert [(point.step, point.value) for point in read] == losses
        accuracies = store.series.metrics("a-run", name="accuracy")
        assert [(point.split, point.domain, point.value) for point in accuracies] == [
            ("in", "ood", 0.25), ("out", "id", 0.75), ("out", "id", 0.5), ("out", "noto", 0.5),
        ]  # fmt: skip
        assert store.series.ood_histories(["a-run"]) == {"a-run": (0.25,)}
        assert store.health()["metric_points"] == 1004


def test_the_mark_of_a_missing_folder_gets_its_own_column(home: Home) -> None:
    load(home, "m018_phase")
    _execute(home, "UPDATE runs SET damage = 'gone' WHERE key = 1")
    _execute(home, "UPDATE runs SET damage = 'unreadable' WHERE key = 2")
    with Store.open(home) as store:
        rows = store.database.rows("SELECT gone, damage FROM runs ORDER BY key")
        assert rows == [(1, None), (0, "unreadable")]
        (gone,) = store.runs.find()
        assert gone.status == "gone"
