from __future__ import annotations

import msgspec

from engine.protocol import resolve_spec
from engine.rundir import UserData
from tests.vld_tui.store.told_runs import Teller, dead_process, started, steps_taken, stopped
from vld_tui.home import Home
from vld_tui.store.runs import Run
from vld_tui.store.store import Store


def test_a_lost_database_is_read_again_from_the_folders(home: Home) -> None:
    with Store.open(home) as store:
        finished = store.create_run(resolve_spec({}), name="done", tags=["a"])
        Teller(home.run_dir(finished.run_id)).finishes()
        home.run_dir(finished.run_id).process.unlink()
        trashed = store.create_run(resolve_spec({"seed": 1}), name="gone")
        teller = Teller(home.run_dir(trashed.run_id))
        dead_process(teller.run_dir, exit_code=0)
        teller.says(started(), steps_taken(5, 1.0), stopped(5))
        crashed = store.create_run(resolve_spec({"seed": 2}), name="died")
        dead_process(home.run_dir(crashed.run_id), exit_code=1)
        Teller(home.run_dir(crashed.run_id)).says(started(), steps_taken(7, 1.0))
        store.refresh()
        store.set_note(finished.run_id, "a note")
        store.trash(trashed.run_id)
        before = store.list_runs() + store.list_runs(trashed=True)
        points = store.metrics(finished.run_id)
        attempts = store.timeline(finished.run_id)
        checkpoints = store.checkpoints(finished.run_id)
    for path in home.path.glob("vld.db*"):
        path.unlink()
    with Store.open(home) as store:
        assert store.list_runs() == []
        report = store.rebuild()
        assert (report.runs, report.trashed, report.damaged) == (3, 1, ())
        assert store.list_runs() + store.list_runs(trashed=True) == before
        assert store.metrics(finished.run_id) == points
        assert store.timeline(finished.run_id) == attempts
        assert store.checkpoints(finished.run_id) == checkpoints


def test_rebuilding_twice_is_the_same_as_once(store: Store, run: Run, teller: Teller) -> None:
    teller.finishes()
    first = store.rebuild()
    runs = store.list_runs()
    health = store.health()
    assert store.rebuild() == first
    assert store.list_runs() == runs
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
    report = store.rebuild()
    assert report.runs == 1
    reasons = {folder.path.name: folder.reason for folder in report.damaged}
    assert set(reasons) == {"empty", "bad-key", "not-text"}
    assert "spec.json" in reasons["empty"]
    assert "Did you mean dropout_rate?" in reasons["bad-key"]
    assert [each.run_id for each in store.list_runs()] == [run.run_id]


def test_a_folder_without_user_data_is_named_and_dated_anyway(
    store: Store, run: Run, home: Home
) -> None:
    run_dir = home.run_dir(run.run_id)
    run_dir.user.write_bytes(b"\xff damaged")
    store.rebuild()
    (seen,) = store.list_runs()
    assert (seen.name, seen.tags) == ("fluent-mono-d0.9-m8-s0", ())
    assert seen.created_at == run_dir.spec.stat().st_mtime


def test_a_row_without_a_folder_goes(store: Store, run: Run, home: Home) -> None:
    kept = store.create_run(resolve_spec({}), name="kept")
    folder = home.run_dir(run.run_id).path
    folder.rename(home.path / "elsewhere")
    assert store.rebuild().runs == 1
    assert [each.run_id for each in store.list_runs()] == [kept.run_id]


def test_a_run_in_both_places_is_read_once(store: Store, run: Run, home: Home) -> None:
    home.trashed_run_dir(run.run_id).create(run.spec, UserData(name="copy"))
    report = store.rebuild()
    assert report.runs == 1
    assert [folder.path.parent for folder in report.damaged] == [home.trash]
    assert [each.name for each in store.list_runs()] == ["first"]


def test_a_folder_moved_to_the_trash_by_hand_is_in_the_trash(
    store: Store, run: Run, home: Home
) -> None:
    home.run_dir(run.run_id).path.rename(home.trashed_run_dir(run.run_id).path)
    assert store.rebuild().trashed == 1
    (trashed,) = store.list_runs(trashed=True)
    assert trashed.trashed_at is not None
    assert store.list_runs() == []


def test_a_folder_moved_back_by_hand_is_no_longer_trashed(
    store: Store, run: Run, teller: Teller, home: Home
) -> None:
    user = msgspec.structs.replace(home.run_dir(run.run_id).read_user(), trashed_at=1.0)
    home.run_dir(run.run_id).write_user(user)
    store.rebuild()
    assert [each.trashed_at for each in store.list_runs()] == [None]


def test_what_waits_keeps_its_place(home: Home) -> None:
    with Store.open(home) as store:
        dead, _, held, out = (
            store.create_run(resolve_spec({"seed": seed}), name=name, is_queued=name != "dead")
            for seed, name in enumerate(("dead", "waits", "held", "out"))
        )
        store.hold(held.run_id)
        store.take_out(out.run_id)
        dead_process(home.run_dir(dead.run_id), exit_code=-9)
        Teller(home.run_dir(dead.run_id)).says(started(), steps_taken(7, 1.0))
        store.refresh()
        store.enqueue(dead.run_id)
        before = store.list_runs()
        store.rebuild()
        assert store.list_runs() == before
        assert [run.name for run in store.queue()] == ["waits", "held", "dead"]


def test_a_run_with_a_number_that_is_no_longer_allowed_is_still_read(
    store: Store, run: Run, home: Home
) -> None:
    spec = home.run_dir(run.run_id).spec
    spec.write_text(spec.read_text().replace('"lr": 0.0003', '"lr": 1e30'))
    store.rebuild()
    assert store.get(run.run_id).spec.lr == 1e30
    spec.write_text(spec.read_text().replace('"lr": 1e30', '"lr": null'))
    assert [damaged.path.name for damaged in store.rebuild().damaged] == [run.run_id]
