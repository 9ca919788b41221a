from __future__ import annotations

import sqlite3
from contextlib import closing

import msgspec
import pytest

from engine.protocol import Combination, CombinationSpec, Parent, resolve_spec
from engine.rundir import RunDir, UserData
from tests.vld_tui.store.told_runs import Teller, dead_process, started, steps_taken, stopped
from vld_tui.home import Home
from vld_tui.runs.run import Run
from vld_tui.store.store import Store


def _forget_all(home: Home) -> None:
    with closing(sqlite3.connect(home.database)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM runs")


def test_a_lost_database_is_read_again_from_the_folders(home: Home) -> None:
    with Store.open(home) as store:
        finished = store.runs.create(resolve_spec({}), name="done", tags=["a"])
        Teller(home.run_dir(finished.run_id)).finishes()
        home.run_dir(finished.run_id).process.unlink()
        trashed = store.runs.create(resolve_spec({"seed": 1}), name="gone")
        teller = Teller(home.run_dir(trashed.run_id))
        dead_process(teller.run_dir, exit_code=0)
        teller.says(started(), steps_taken(5, 1.0), stopped(5))
        crashed = store.runs.create(resolve_spec({"seed": 2}), name="died")
        dead_process(home.run_dir(crashed.run_id), exit_code=1)
        Teller(home.run_dir(crashed.run_id)).says(started(), steps_taken(7, 1.0))
        store.live.refresh()
        store.labels.set_note(finished.run_id, "a note")
        store.trash.move(trashed.run_id)
        before = store.runs.find() + store.runs.find(trashed=True)
        points = store.series.metrics(finished.run_id)
        attempts = store.series.timeline(finished.run_id)
        checkpoints = store.checkpoints.saved(finished.run_id)
    for path in home.path.glob("vld.db*"):
        path.unlink()
    with Store.open(home) as store:
        assert store.runs.find() == []
        report = store.folders.rebuild()
        assert (report.runs, report.trashed, report.damaged) == (3, 1, ())
        assert store.runs.find() + store.runs.find(trashed=True) == before
        assert store.series.metrics(finished.run_id) == points
        assert store.series.timeline(finished.run_id) == attempts
        assert store.checkpoints.saved(finished.run_id) == checkpoints


def test_rebuilding_twice_is_the_same_as_once(store: Store, run: Run, teller: Teller) -> None:
    teller.finishes()
    first = store.folders.rebuild()
    runs = store.runs.find()
    health = store.health()
    assert store.folders.rebuild() == first
    assert store.runs.find() == runs
    assert store.health()["metric_points"] == health["metric_points"] > 0


def test_damaged_folders_are_listed_and_the_others_read(store: Store, run: Run, home: Home) -> None:
    (home.runs / "empty").mkdir()
    (home.runs / "a-file").write_text("not a run")
    (home.runs / ".hidden").mkdir()
    bad_key = home.run_dir("bad-key")
    bad_key.create(run.spec, UserData())
    bad_key.spec.write_bytes(b'{"droput_rate": 0.9}')
    not_text = home.run_dir("not-text")
    not_text.create(run.spec, UserData())
    not_text.spec.write_bytes(b'{"dataset": "\xff"}')
    report = store.folders.rebuild()
    assert report.runs == 1
    reasons = {folder.path.name: folder.reason for folder in report.damaged}
    assert set(reasons) == {"empty", "bad-key", "not-text"}
    assert "spec.json" in reasons["empty"]
    assert "Did you mean dropout_rate?" in reasons["bad-key"]
    statuses = {each.run_id: each.status for each in store.runs.find()}
    damaged = dict.fromkeys(("empty", "bad-key", "not-text"), "damaged")
    assert statuses == {run.run_id: "starting", **damaged}


def test_a_folder_without_user_data_is_named_and_dated_anyway(
    store: Store, run: Run, home: Home
) -> None:
    run_dir = home.run_dir(run.run_id)
    run_dir.user.write_bytes(b"\xff damaged")
    _forget_all(home)
    store.folders.rebuild()
    (seen,) = store.runs.find()
    assert (seen.name, seen.tags) == ("clipart-d0.9-m8-s0", ())
    assert seen.created_at == run_dir.spec.stat().st_mtime


def test_a_run_without_a_folder_is_kept_as_gone_until_it_is_removed(
    store: Store, run: Run, home: Home
) -> None:
    kept = store.runs.create(resolve_spec({}), name="kept")
    folder = home.run_dir(run.run_id).path
    folder.rename(home.path / "elsewhere")
    report = store.folders.rebuild()
    assert report.runs == 1
    assert [each.path for each in report.damaged] == [folder]
    lost = store.runs.get(run.run_id)
    assert (lost.name, lost.spec, lost.status) == (run.name, run.spec, "gone")
    assert "is missing" in str(lost.error)
    (home.path / "elsewhere").rename(folder)
    assert store.folders.rebuild().damaged == ()
    assert store.runs.get(run.run_id).status == "starting"
    folder.rename(home.path / "elsewhere")
    store.folders.rebuild()
    store.trash.move(run.run_id)
    assert [each.run_id for each in store.runs.find()] == [kept.run_id]
    store.trash.restore(run.run_id)
    store.trash.move(run.run_id)
    assert store.trash.empty() == 1
    assert store.runs.find(trashed=True) == []


def test_a_run_in_both_places_is_read_once(store: Store, run: Run, home: Home) -> None:
    home.trashed_run_dir(run.run_id).create(run.spec, UserData(name="copy"))
    report = store.folders.rebuild()
    assert report.runs == 1
    assert [folder.path.parent for folder in report.damaged] == [home.trash]
    assert [each.name for each in store.runs.find()] == ["first"]


def test_a_folder_moved_to_the_trash_by_hand_is_in_the_trash(
    store: Store, run: Run, home: Home
) -> None:
    home.run_dir(run.run_id).path.rename(home.trashed_run_dir(run.run_id).path)
    assert store.folders.rebuild().trashed == 1
    (trashed,) = store.runs.find(trashed=True)
    assert trashed.trashed_at is not None
    assert store.runs.find() == []


def test_a_folder_moved_back_by_hand_is_no_longer_trashed(
    store: Store, run: Run, teller: Teller, home: Home
) -> None:
    user = msgspec.structs.replace(home.run_dir(run.run_id).read_user(), trashed_at=1.0)
    home.run_dir(run.run_id).write_user(user)
    store.folders.rebuild()
    assert [each.trashed_at for each in store.runs.find()] == [None]


def test_what_waits_keeps_its_place(home: Home) -> None:
    with Store.open(home) as store:
        dead, _, held, out = (
            store.runs.create(resolve_spec({"seed": seed}), name=name, is_queued=name != "dead")
            for seed, name in enumerate(("dead", "waits", "held", "out"))
        )
        store.queue.hold(held.run_id)
        store.queue.remove(out.run_id)
        dead_process(home.run_dir(dead.run_id), exit_code=-9)
        Teller(home.run_dir(dead.run_id)).says(started(), steps_taken(7, 1.0))
        store.live.refresh()
        store.queue.add(dead.run_id)
        before = store.runs.find()
        store.folders.rebuild()
        assert store.runs.find() == before
        assert [run.name for run in store.queue.runs()] == ["waits", "held", "dead"]


def test_a_run_with_a_number_that_is_no_longer_allowed_is_still_read(
    store: Store, run: Run, home: Home
) -> None:
    spec = home.run_dir(run.run_id).spec
    spec.write_text(spec.read_text().replace('"lr": 0.0003', '"lr": 1e30'))
    store.folders.rebuild()
    assert store.runs.get(run.run_id).spec.lr == 1e30
    spec.write_text(spec.read_text().replace('"lr": 1e30', '"lr": null'))
    _forget_all(home)
    assert [damaged.path.name for damaged in store.folders.rebuild().damaged] == [run.run_id]


def _files(home: Home, run: Run) -> dict[str, bytes]:
    folder = home.run_dir(run.run_id).path
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("name", ["spec.json", "user.json"])
@pytest.mark.parametrize("damage", ["cut", "gone", "garbled", "a folder", "a link", "empty"])
def test_what_a_folder_lost_is_written_again_from_history(
    store: Store, run: Run, teller: Teller, home: Home, name: str, damage: str
) -> None:
    teller.finishes()
    store.live.refresh()
    before, files = store.runs.find(), _files(home, run)
    path = home.run_dir(run.run_id).path / name
    path.unlink()
    match damage:
        case "cut":
            path.write_bytes(files[name][:20])
        case "garbled":
            path.write_bytes(b"\xff" + files[name])
        case "empty":
            path.write_bytes(b"")
        case "a folder":
            path.mkdir()
        case "a link":
            path.symlink_to("nowhere")
    assert store.folders.rebuild().damaged == ()
    assert store.runs.find() == before
    kept = [each for each in path.parent.iterdir() if each.name.startswith(f"{name}.damaged-")]
    assert len(kept) == (damage != "gone")
    assert path.read_bytes() == files[name]


def test_what_was_combined_is_written_again_from_history(store: Store, home: Home) -> None:
    combination = Combination(
        method="soup", parents=(Parent("a", "/a.safetensors"), Parent("b", "/b.safetensors"))
    )
    run = store.runs.create(CombinationSpec(resolve_spec({}), combination))
    home.run_dir(run.run_id).combination.unlink()
    assert store.folders.rebuild().damaged == ()
    assert store.runs.get(run.run_id).combination == combination
    assert home.run_dir(run.run_id).read_combination() == combination


def test_a_spec_of_a_newer_version_is_left_as_it_is(store: Store, run: Run, home: Home) -> None:
    path = home.run_dir(run.run_id).spec
    newer = path.read_bytes().replace(b"{", b'{"temperature": 1,', 1)
    path.write_bytes(newer)
    store.folders.rebuild()
    seen = store.runs.get(run.run_id)
    assert (seen.status, seen.spec) == ("damaged", run.spec)
    assert "upgrade vld-tui" in str(seen.error)
    assert path.read_bytes() == newer


@pytest.mark.parametrize("left", [0, 300])
def test_what_history_read_of_a_log_that_is_cut_is_kept(
    store: Store, run: Run, teller: Teller, home: Home, left: int
) -> None:
    teller.finishes()
    store.live.refresh()
    before, points = store.runs.get(run.run_id), store.series.metrics(run.run_id)
    log = home.run_dir(run.run_id).events
    log.write_bytes(log.read_bytes()[:left])
    (problem,) = store.folders.rebuild().damaged
    assert f"to {left} bytes" in problem.reason
    assert store.runs.get(run.run_id) == before
    assert store.series.metrics(run.run_id) == points


def test_a_folder_that_others_change_while_it_is_read_is_read_as_it_is_then(
    store: Store, run: Run, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = RunDir.read_combination

    def trashed_meanwhile(run_dir: RunDir) -> Combination | None:
        monkeypatch.undo()
        with Store.open(home) as other:
            other.trash.move(run.run_id)
        return read(run_dir)

    dead_process(home.run_dir(run.run_id), exit_code=1)
    store.live.refresh()
    monkeypatch.setattr(RunDir, "read_combination", trashed_meanwhile)
    store.folders.rebuild()
    assert [each.run_id for each in store.runs.find(trashed=True)] == [run.run_id]
    assert store.runs.find() == []
