"""Runs that history cannot read: listed as damaged with the reason, beside all others."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engine.protocol import resolve_spec
from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.store.told_runs import Teller, arm_evaluated, finished, started
from vld_tui.dashboard.feed import HistorySource, Interest
from vld_tui.home import Home, open_home
from vld_tui.runs.run import Run, RunRow
from vld_tui.store.groups import find_grouping
from vld_tui.store.store import Store

_REWRITE_CHECKS = (
    "PRAGMA ignore_check_constraints = ON",
    "PRAGMA writable_schema = ON",
    "UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', '')",
)
"""SQLite keeps every value out that the table forbids; a disk that fails does not."""
NOBODY = 65534
ROWS = {
    "null": "spec = replace(spec, '\"lr\":0.0003', '\"lr\":null')",
    "infinite": "spec = replace(spec, '\"lr\":0.0003', '\"lr\":1e999')",
    "a number as text": 'spec = replace(spec, \'"lr":0.0003\', \'"lr":"high"\')',
    "an unknown word": 'spec = replace(spec, \'"optimizer":"adamw"\', \'"optimizer":"lion"\')',
    "cut": "spec = substr(spec, 1, 40)",
    "not JSON": "spec = 'garbage'",
    "JSON of another kind": "spec = '[]'",
    "nothing": "spec = ''",
    "spec NULL": "spec = NULL",
    "name NULL": "name = NULL",
    "tags NULL": "tags = NULL",
    "status unknown": "status = 'evaporated'",
    "status NULL": "status = NULL",
    "step as text": "step = 'ten'",
    "step as bytes": "step = x'ff00'",
    "name that is no text": "name = CAST(x'ff80fe' AS TEXT), spec = CAST(x'ff' AS TEXT)",
    "no time": "created_at = 1e300",
    "an infinite accuracy": "id_accuracy = 9e999",
    "garbled accuracies": "domains = '{\"noto\": '",
    "accuracies of another kind": "domains = '[1, 2]'",
    "garbled combination": 'combination = \'{"method": "sou\'',
}


def garble(home: Home, run: Run, assignment: str) -> None:
    with closing(sqlite3.connect(home.database, isolation_level=None)) as connection:
        for statement in _REWRITE_CHECKS:
            connection.execute(statement)
    with closing(sqlite3.connect(home.database, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(f"UPDATE runs SET {assignment} WHERE run_id = ?", [run.run_id])


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Return a home with three finished runs."""
    home = open_home(tmp_path_factory.mktemp("template") / "home")
    with Store.open(home) as store:
        for seed in range(3):
            run = store.runs.create(resolve_spec({"seed": seed}), name=f"run-{seed}")
            Teller(home.run_dir(run.run_id)).finishes()
            home.run_dir(run.run_id).process.unlink()
        store.live.refresh()
    return home


@pytest.fixture
def home(tmp_path: Path, template: Home) -> Home:
    shutil.copytree(template.path, tmp_path / "home")
    return open_home(tmp_path / "home")


@pytest.fixture
def runs(home: Home) -> list[Run]:
    """Return the runs of the home, the oldest first."""
    with Store.open(home) as store:
        return store.runs.find()[::-1]


def statuses(vld: Vld, *arguments: str) -> dict[str, str]:
    return {each["run"]: each["status"] for each in vld.json("ls", *arguments)}


@pytest.mark.parametrize("assignment", ROWS.values(), ids=ROWS.keys())
def test_a_row_that_cannot_be_read_is_damaged_and_the_others_are_listed(
    home: Home, runs: list[Run], assignment: str
) -> None:
    first, second, third = (run.run_id for run in runs)
    garble(home, runs[1], assignment)
    vld = Vld(home.path)
    (seen,) = vld.json("ls", "--where", "status=damaged")
    assert seen["run"] == second
    assert "database entry is invalid" in seen["error"]
    assert (seen["dataset"], seen["model"], seen["dropout_rate"]) == (None, None, None)
    assert statuses(vld, "--where", "status=finished") == {third: "finished", first: "finished"}
    assert second not in statuses(vld, "--where", "dropout>0.5 status=finished", "--sort", "lr")
    assert "! damaged" in vld("ls").stdout
    with Store.open(home) as store:
        store.trash.move(second)
        assert [run.run_id for run in store.runs.find()] == [third, first]
        assert [run.status for run in store.runs.find(trashed=True)] == ["damaged"]
        store.trash.restore(second)
        assert store.folders.rebuild().damaged == ()
        assert store.runs.find()[::-1] == runs


def test_every_command_that_reads_gets_past_a_damaged_run(home: Home, runs: list[Run]) -> None:
    second = runs[1].run_id
    garble(home, runs[1], ROWS["cut"])
    vld = Vld(home.path)
    for command in (
        ["ls"], ["ls", "--csv"], ["show", second], ["logs", second], ["prune", "--dry-run"],
        ["queue", "ls"], ["sweep", "ls"], ["tag", second, "+kept"], ["note", second, "seen"],
    ):  # fmt: skip
        done = vld(*command)
        assert done.exit_code == 0, (command, done.stderr)
    assert vld("curve", second).exit_code in (0, 2)
    removed = vld("rm", second)
    assert removed.exit_code == 0, removed.stderr
    assert vld("restore", second).exit_code == 0
    assert vld("rm", second).exit_code == 0
    assert vld("rm", "--empty-trash", "--yes").exit_code == 0
    assert not home.trashed_run_dir(second).path.exists()
    assert len(statuses(vld)) == 2


def test_a_damaged_run_s_reason_and_way_out_are_shown_once_each_on_its_line(
    home: Home, runs: list[Run]
) -> None:
    garble(home, runs[1], "spec = 'garbage'")
    shown = Vld(home.path)("show", "run-1").stdout
    assert "␊" not in shown
    assert shown.count("Reread it from its folder") == 1
    assert shown.splitlines()[1].startswith("damaged  the run's database entry is invalid")


def test_the_log_of_a_damaged_run_tells_the_settings_of_its_folder(
    home: Home, runs: list[Run]
) -> None:
    vld = Vld(home.path)
    run = runs[1]
    whole = vld("logs", run.run_id).stdout
    assert "emoji" in whole
    garble(home, run, ROWS["cut"])
    assert vld("logs", run.run_id).stdout == whole
    last = "\n".join(whole.splitlines()[-2:]) + "\n"
    assert vld("logs", run.run_id, "-n", "2").stdout == last


def test_the_log_of_a_run_without_settings_makes_none_up(home: Home, runs: list[Run]) -> None:
    run = runs[1]
    garble(home, run, ROWS["cut"])
    home.run_dir(run.run_id).spec.write_text("null")
    told = Vld(home.path)("logs", run.run_id).stdout
    assert "network " in told
    assert "px" not in told
    assert "dropout" not in told
    assert f"/{run.steps}" not in told


def test_the_dashboard_shows_damaged_runs_among_the_others(home: Home, runs: list[Run]) -> None:
    garble(home, runs[1], ROWS["cut"])
    source = HistorySource(home)
    seen = source.take(Interest(plane=True, queue=True, opened=runs[1].run_id))
    assert seen.problem is None
    rows = [row.run.status for row in seen.rows if isinstance(row, RunRow)]
    assert rows == ["finished", "damaged", "finished"]
    assert len(seen.points) == 2
    assert seen.opened is not None
    for name in ("configuration", "lr", "status"):
        grouped = source.take(Interest(grouping=find_grouping(name)))
        assert (grouped.problem, grouped.runs) == (None, 3)
    source.close()


@pytest.mark.parametrize("column", ["domains", "measures"])
def test_results_of_arms_that_cannot_be_read_make_their_run_damaged(
    home: Home, column: str, runs: list[Run]
) -> None:
    with Store.open(home) as store:
        told = store.runs.create(resolve_spec({"seed": 9}), name="with-arms")
        teller = Teller(home.run_dir(told.run_id))
        teller.starts()
        teller.says(
            arm_evaluated(5, "averaged", id_accuracy=0.5, ood_accuracy=0.5),
            finished(5, selected_step=5, id_accuracy=0.5, ood_accuracy=0.5),
        )
        store.live.refresh()
    with closing(sqlite3.connect(home.database)) as connection, connection:
        connection.execute(f"UPDATE arms SET {column} = '{{\"noto\"'")
    vld = Vld(home.path)
    assert statuses(vld)[told.run_id] == "damaged"
    assert len(statuses(vld)) == 4
    assert vld("rebuild").exit_code == 0
    assert set(statuses(vld).values()) == {"finished"}


@pytest.mark.parametrize(
    ("table", "assignment"),
    [
        ("series", "steps = x'0102', readings = x'01'"),
        ("attempts", "versions = '{'"),
        ("attempts", "started_at = 'yesterday', pid = 'none'"),
        ("checkpoints", "bytes = 'many', file = x'00'"),
    ],
)
def test_what_a_run_measured_may_be_garbled(
    home: Home, runs: list[Run], table: str, assignment: str
) -> None:
    with closing(sqlite3.connect(home.database)) as connection, connection:
        connection.execute(f"UPDATE {table} SET {assignment} WHERE run = 2")
    vld = Vld(home.path)
    assert len(statuses(vld)) == 3
    for command in ("show", "curve"):
        said = vld(command, runs[1].run_id)
        assert "Unexpected" not in said.stderr, said.stderr
        assert said.exit_code == 0 or "vld rebuild" in said.stderr
    source = HistorySource(home)
    seen = source.take(Interest(watched=tuple(run.run_id for run in runs)))
    source.close()
    assert (seen.problem, seen.count) == (None, 3)


def test_a_damaged_run_in_the_queue_is_shown_and_not_started(home: Home) -> None:
    with Store.open(home) as store:
        waiting = [
            store.runs.create(resolve_spec({"seed": seed}), name=f"w{seed}", is_queued=True)
            for seed in range(2)
        ]
    garble(home, waiting[0], ROWS["cut"])
    vld = Vld(home.path)
    listed = vld("queue", "ls")
    assert listed.exit_code == 0, listed.stderr
    assert f"damaged: vld show {waiting[0].run_id}" in listed.stdout
    assert [run["status"] for run in vld.json("queue", "ls")["waiting"]] == ["damaged", "queued"]
    with Store.open(home) as store:
        assert [run.run_id for run in store.queue.runs() if run.is_due] == [waiting[1].run_id]
        assert store.runs.count_statuses() == {"queued": 1}
    resumed = vld("resume", waiting[0].run_id)
    assert resumed.exit_code == 2
    assert "is damaged" in resumed.stderr
    assert vld("rm", waiting[0].run_id).exit_code == 0


def test_damaged_runs_are_left_out_of_comparisons(home: Home, runs: list[Run]) -> None:
    garble(home, runs[1], ROWS["null"])
    vld = Vld(home.path)
    names = [run.run_id for run in runs]
    compared = vld("compare", *names)
    assert compared.exit_code == 0, compared.stderr
    assert f"skipped damaged run: {names[1]}" in compared.stderr
    document = vld.json("compare", *names)
    assert [each["run"] for each in document["damaged"]] == [names[1]]
    assert [run for group in document["groups"] for run in group["runs"]] == [names[0], names[2]]


def _null(path: Path) -> None:
    path.write_text(path.read_text().replace("0.0003", "null"))


def _infinite(path: Path) -> None:
    path.write_text(path.read_text().replace("0.0003", "1e999"))


def _newer(path: Path) -> None:
    path.write_text(path.read_text().replace("{", '{"temperature": 2,', 1))


def _wrong_kind(path: Path) -> None:
    path.write_text(path.read_text().replace("0.0003", '"high"'))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere.json"))
    path.symlink_to("elsewhere.json")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


FOLDERS: list[Callable[[Path], None]] = [
    Path.unlink, _null, _infinite, _newer, _wrong_kind, _cut, _empty, _folder, _link, _pipe,
]  # fmt: skip


@pytest.mark.parametrize("damage", FOLDERS)
def test_a_folder_that_cannot_be_read_is_listed_until_it_is_removed(
    home: Home, runs: list[Run], damage: Callable[[Path], None]
) -> None:
    second = runs[1].run_id
    damage(home.run_dir(second).spec)
    for path in home.path.glob("vld.db*"):
        path.unlink()
    vld = Vld(home.path)
    rebuilt = vld("rebuild")
    assert "2 runs read" in rebuilt.stdout
    assert second in rebuilt.stderr
    for _ in range(2):
        assert statuses(vld)[second] == "damaged"
        assert "history" not in vld("ls").stderr
        vld("rebuild")
    (seen,) = vld.json("ls", "--where", "status=damaged")
    assert (seen["name"], seen["steps"]) == ("run-1", None)
    assert f"vld rm {second}" in seen["error"]
    assert vld("show", second).exit_code == 0
    assert vld("logs", second).exit_code == 0
    assert vld("rm", second).exit_code == 0
    assert set(statuses(vld).values()) == {"finished"}
    assert home.trashed_run_dir(second).path.is_dir()


def test_a_folder_that_was_put_right_is_read_again_by_a_rebuild(
    home: Home, runs: list[Run]
) -> None:
    spec = home.run_dir(runs[1].run_id).spec
    whole = spec.read_bytes()
    _cut(spec)
    for path in home.path.glob("vld.db*"):
        path.unlink()
    vld = Vld(home.path)
    vld("rebuild")
    spec.write_bytes(whole)
    assert vld("rebuild").stderr == ""
    with Store.open(home) as store:
        assert store.runs.find()[::-1] == runs


@pytest.mark.parametrize("is_readable", [True, False])
def test_a_folder_that_history_never_read_can_be_named(
    home: Home, runs: list[Run], is_readable: bool
) -> None:
    known = home.run_dir(runs[0].run_id).path
    os.rename(known, home.runs / "250101-000000-copy")
    if not is_readable:
        (home.runs / "250101-000000-copy" / "spec.json").unlink()
    vld = Vld(home.path)
    assert vld("show", "250101-000000-copy").exit_code == 0
    removed = vld("rm", "250101-000000-copy")
    assert removed.exit_code == 0, removed.stderr
    assert home.trashed_run_dir("250101-000000-copy").path.is_dir()


@pytest.fixture
def another_user(tmp_path: Path) -> Iterator[int]:
    """Be another user than root for the duration of a test, or skip it; return the user's id."""
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: root reads every folder, and only root can be somebody else")
    yield NOBODY
    os.seteuid(0)


def test_a_folder_without_permission_is_listed_as_damaged_and_removed(
    template: Home, another_user: int
) -> None:
    with tempfile.TemporaryDirectory() as place:
        shutil.copytree(template.path, Path(place, "home"))
        vld = Vld(Path(place, "home"))
        ids = list(statuses(vld))
        for command in (["rebuild"], ["show", ids[0]], ["rm", ids[0]], ["restore", ids[0]]):
            vld(*command)  # so that all modules are there
        for path in vld.home.glob("vld.db*"):
            path.unlink()
        for folder, _, files in os.walk(place):
            for name in ("", *files):
                os.chown(Path(folder, name), another_user, another_user)
        vld.home.joinpath("runs", ids[1]).chmod(0)
        os.seteuid(another_user)
        rebuilt = vld("rebuild")
        assert "2 runs read" in rebuilt.stdout, rebuilt.stderr
        assert "Permission denied" in rebuilt.stderr
        assert statuses(vld) == {ids[0]: "finished", ids[1]: "damaged", ids[2]: "finished"}
        removed = vld("rm", ids[1])
        assert removed.exit_code == 0, removed.stderr
        assert statuses(vld) == {ids[0]: "finished", ids[2]: "finished"}
        os.seteuid(0)


def test_a_name_that_is_no_text_stops_nothing(home: Home, runs: list[Run]) -> None:
    os.mkdir(os.fsencode(home.runs) + b"/not-text-\xff")
    vld = Vld(home.path)
    rebuilt = vld("rebuild")
    assert (rebuilt.exit_code, "3 runs read" in rebuilt.stdout) == (0, True)
    assert "not valid text" in rebuilt.stderr


def test_events_that_only_start_are_no_damage(home: Home, runs: list[Run]) -> None:
    with Store.open(home) as store:
        run = store.runs.create(resolve_spec({"seed": 7}))
        Teller(home.run_dir(run.run_id)).says(started())
        store.folders.rebuild()
        assert store.runs.get(run.run_id).status != "damaged"
