"""Runs whose folders were deleted or moved by another program."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from engine.protocol import resolve_spec
from vld_tui.control.each_run import checked
from vld_tui.control.edits import EditHistory, trash
from vld_tui.control.start import queue_again, resume_here
from vld_tui.control.stop import refuse_stopped
from vld_tui.home import Home
from vld_tui.runs.run import Run
from vld_tui.store.errors import StoreError
from vld_tui.store.missing_folders import LOOK_S, MissingFolders
from vld_tui.store.query import Query
from vld_tui.store.store import Store


@pytest.fixture
def runs(store: Store) -> list[Run]:
    """Return runs that were dequeued."""
    made = [store.runs.create(resolve_spec({}), is_queued=True) for _ in range(3)]
    for run in made:
        store.queue.remove(run.run_id)
    return [store.runs.get(run.run_id) for run in made]


def look(store: Store) -> str | None:
    """Compare the history with the folders, now."""
    return MissingFolders(store.database, store.home, store.settings).look()


def statuses(store: Store) -> list[str]:
    return [run.status for run in store.runs.find(Query.parse("", sort="run"))]


def test_a_run_whose_folder_is_deleted_is_gone_and_back_when_the_folder_is(
    store: Store, runs: list[Run], home: Home
) -> None:
    folder, elsewhere = home.run_dir(runs[1].run_id).path, home.path / "elsewhere"
    assert look(store) is None
    folder.rename(elsewhere)
    assert look(store) is None
    assert sorted(statuses(store)) == ["gone", "stopped", "stopped"]
    (gone,) = store.runs.find(Query.parse("status=gone"))
    assert gone.run_id == runs[1].run_id
    assert gone.reason == (
        f"The folder of run {gone.run_id} is missing: runs/{gone.run_id} was deleted or moved."
    )
    elsewhere.rename(folder)
    assert look(store) is None
    assert store.runs.find(Query.parse("status=gone")) == []
    assert store.runs.get(gone.run_id) == runs[1]


def test_what_needs_the_folder_is_refused_with_the_reason(
    store: Store, runs: list[Run], home: Home
) -> None:
    run_id = runs[0].run_id
    shutil.rmtree(home.run_dir(run_id).path)
    assert store.runs.get(run_id).status == "gone", "seen at once where one run is asked for"
    for act in (resume_here, lambda store, run_id: queue_again(store, [run_id])):
        with pytest.raises(StoreError, match="was deleted or moved"):
            act(store, run_id)
    with pytest.raises(StoreError, match="is not running: it is gone"):
        refuse_stopped(store, store.runs.get(run_id))


def test_a_gone_run_is_forgotten_and_comes_back_by_undo(
    store: Store, runs: list[Run], home: Home
) -> None:
    run_id, edits = runs[0].run_id, EditHistory()
    shutil.rmtree(home.run_dir(run_id).path)
    edits.add(trash(store, [run_id]))
    assert len(statuses(store)) == 2
    edits.undo(store)
    assert store.runs.get(run_id).status == "gone"
    trash(store, [run_id])
    store.trash.delete(run_id)
    assert store.runs.find(trashed=True) == []


def test_a_disk_that_is_not_mounted_makes_no_run_gone(
    store: Store, runs: list[Run], home: Home
) -> None:
    home.runs.rename(home.path / "unmounted")
    assert look(store) == f"{home.runs} is missing; is its disk mounted?"
    assert store.runs.get(runs[0].run_id).status == "stopped"
    home.runs.mkdir()
    assert look(store) == f"{home.runs} has no run folders; is its disk mounted?"
    assert set(statuses(store)) == {"stopped"}
    home.runs.rmdir()
    (home.path / "unmounted").rename(home.runs)
    assert look(store) is None
    assert set(statuses(store)) == {"stopped"}


def test_a_run_marked_as_gone_while_its_disk_is_away_is_back_with_it(
    store: Store, home: Home
) -> None:
    run = store.runs.create(resolve_spec({}), is_queued=True)
    store.queue.remove(run.run_id)
    look(store)
    home.runs.rename(home.path / "unmounted")
    home.runs.mkdir()
    assert store.runs.get(run.run_id).status == "gone", "the folder of the only run is missing"
    home.runs.rmdir()
    (home.path / "unmounted").rename(home.runs)
    look(store)
    assert statuses(store) == ["stopped"]


def test_a_run_asked_for_on_an_empty_mount_point_is_not_gone(
    store: Store, runs: list[Run], home: Home
) -> None:
    home.runs.rename(home.path / "unmounted")
    home.runs.mkdir()
    assert store.runs.get(runs[0].run_id).status == "stopped"


def test_a_damaged_run_is_still_damaged_when_its_folder_is_back(
    store: Store, runs: list[Run], home: Home
) -> None:
    folder, elsewhere = home.run_dir(runs[0].run_id).path, home.path / "elsewhere"
    (folder / "spec.json").write_text("{")
    store.database.rows("UPDATE runs SET spec = 'null' WHERE run_id = ?", [runs[0].run_id])
    store.folders.take_in([runs[0].run_id])
    damaged = store.runs.get(runs[0].run_id)
    assert damaged.status == "damaged"
    folder.rename(elsewhere)
    look(store)
    assert store.runs.get(runs[0].run_id).status == "gone"
    elsewhere.rename(folder)
    look(store)
    assert store.runs.get(runs[0].run_id) == damaged


def test_a_run_is_not_removed_while_its_disk_is_away(
    store: Store, runs: list[Run], home: Home
) -> None:
    home.runs.rename(home.path / "unmounted")
    with pytest.raises(StoreError, match="is not accessible: .*is its disk mounted"):
        store.trash.move(runs[0].run_id)
    home.runs.mkdir()
    with pytest.raises(StoreError, match="is not accessible: .*is its disk mounted"):
        checked(trash(store, [run.run_id for run in runs]))
    home.runs.rmdir()
    (home.path / "unmounted").rename(home.runs)
    assert len(trash(store, [run.run_id for run in runs]).run_ids) == 3


def test_runs_whose_folders_were_all_deleted_can_be_forgotten(
    store: Store, runs: list[Run], home: Home
) -> None:
    shutil.rmtree(home.runs)
    home.runs.mkdir()
    store.folders.rebuild()
    assert len(trash(store, [run.run_id for run in runs]).run_ids) == 3


def test_a_forgotten_run_whose_folder_is_back_is_restored_with_it(
    store: Store, runs: list[Run], home: Home
) -> None:
    run_id, elsewhere = runs[0].run_id, home.path / "elsewhere"
    home.run_dir(run_id).path.rename(elsewhere)
    trash(store, [run_id])
    elsewhere.rename(home.run_dir(run_id).path)
    store.trash.restore(run_id)
    assert store.runs.get(run_id) == runs[0]
    assert home.run_dir(run_id).read_user().trashed_at is None


def test_a_run_restored_without_its_folder_is_trashed_again_with_it(
    store: Store, runs: list[Run], home: Home
) -> None:
    run_id, elsewhere = runs[0].run_id, home.path / "elsewhere"
    store.trash.move(run_id)
    home.trashed_run_dir(run_id).path.rename(elsewhere)
    store.trash.restore(run_id)
    elsewhere.rename(home.trashed_run_dir(run_id).path)
    store.trash.move(run_id)
    assert home.trashed_run_dir(run_id).read_user().trashed_at is not None
    store.trash.restore(run_id)
    assert store.runs.get(run_id) == runs[0]


def test_folders_are_listed_only_after_a_change_and_rarely(
    store: Store, runs: list[Run], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[Home] = []

    def list_all(home: Home) -> list[str]:
        listed.append(home)
        return [run.run_id for run in runs]

    monkeypatch.setattr("vld_tui.store.missing_folders.run_ids", list_all)
    look(store)
    look(store)
    assert len(listed) == 1, "nothing has changed"
    (home.runs / "new").mkdir()
    often = MissingFolders(store.database, home, store.settings)
    often.look()
    (home.runs / "newer").mkdir()
    often.look()
    assert len(listed) == 2, f"not more often than every {LOOK_S} s"


def test_a_live_run_is_not_gone_while_its_process_may_live(store: Store, home: Home) -> None:
    run = store.runs.create(resolve_spec({}))
    shutil.rmtree(home.run_dir(run.run_id).path)
    look(store)
    assert store.runs.get(run.run_id).status == "starting"


def test_labels_of_a_run_without_folder_are_refused_in_plain_words(
    store: Store, home: Home
) -> None:
    run = store.runs.create(resolve_spec({}), name="lost")
    shutil.rmtree(home.run_dir(run.run_id).path)
    changes: list[Callable[[], object]] = [
        lambda: store.labels.rename(run.run_id, "other"),
        lambda: store.labels.set_note(run.run_id, "seen"),
        lambda: store.labels.change_tags(run.run_id, lambda tags: (*tags, "best")),
    ]
    for change in changes:
        with pytest.raises(StoreError, match=f"forget the run: vld rm {run.run_id}") as caught:
            change()
        assert "Errno" not in str(caught.value)
    now = store.runs.get(run.run_id)
    assert (now.name, now.note, now.tags) == ("lost", "", ())
