from __future__ import annotations

import subprocess
import sys

import pytest

from engine.protocol import resolve_spec
from tests.vld_tui.store.told_runs import Teller, dead_process, started, stopped
from vld_tui.home import Home
from vld_tui.runs.run import Run
from vld_tui.store.errors import StoreError
from vld_tui.store.store import Store


def _end(store: Store, teller: Teller) -> Run:
    """Let the run stop, and return it."""
    dead_process(teller.run_dir, exit_code=0)
    teller.says(started(), stopped(5))
    store.live.refresh()
    return store.runs.get("@last")


def test_a_trashed_run_is_out_of_sight_and_comes_back(
    store: Store, run: Run, teller: Teller, home: Home
) -> None:
    ended = _end(store, teller)
    store.labels.set_note(run.run_id, "keep me")
    store.trash.move(run.run_id)
    assert store.runs.find() == []
    (trashed,) = store.runs.find(trashed=True)
    assert (trashed.run_id, trashed.note) == (run.run_id, "keep me")
    assert trashed.trashed_at is not None
    folder = home.trashed_run_dir(run.run_id)
    assert folder.read_user().trashed_at == trashed.trashed_at
    assert store.runs.run_dir(run.run_id) == folder
    assert not home.run_dir(run.run_id).path.exists()
    assert store.runs.get("first") == trashed

    store.trash.restore(run.run_id)
    (back,) = store.runs.find()
    assert (back.run_id, back.trashed_at, back.status) == (run.run_id, None, ended.status)
    assert home.run_dir(run.run_id).read_user().trashed_at is None
    assert not folder.path.exists()


def test_labels_of_a_trashed_run_can_still_change(
    store: Store, run: Run, teller: Teller, home: Home
) -> None:
    _end(store, teller)
    store.trash.move(run.run_id)
    store.labels.change_tags(run.run_id, lambda _: ["later"])
    assert home.trashed_run_dir(run.run_id).read_user().tags == ("later",)


def test_a_live_run_is_not_trashed(store: Store, run: Run, teller: Teller, home: Home) -> None:
    teller.starts()
    with pytest.raises(StoreError, match=r"is running as process \d+. Stop it first: vld stop"):
        store.trash.move(run.run_id)
    assert home.run_dir(run.run_id).path.is_dir()
    assert store.runs.find(trashed=True) == []


def test_a_run_whose_process_is_about_to_end_is_not_trashed(
    store: Store, run: Run, teller: Teller
) -> None:
    teller.starts()
    teller.says(stopped(5))
    with pytest.raises(StoreError, match=r"is stopped, but its process \d+ is still ending"):
        store.trash.move(run.run_id)


def test_what_is_where_it_should_not_be_is_refused(
    store: Store, run: Run, teller: Teller, home: Home
) -> None:
    _end(store, teller)
    with pytest.raises(StoreError, match="not in the trash"):
        store.trash.restore(run.run_id)
    home.trashed_run_dir(run.run_id).path.mkdir()
    with pytest.raises(StoreError, match="already exists"):
        store.trash.move(run.run_id)
    assert len(store.runs.find()) == 1
    home.trashed_run_dir(run.run_id).path.rmdir()
    store.trash.move(run.run_id)
    with pytest.raises(StoreError, match="already in the trash"):
        store.trash.move(run.run_id)
    with pytest.raises(StoreError, match="in the trash. Restore it first: vld restore"):
        store.live.mark_relaunched(run.run_id)


def test_a_folder_that_cannot_be_moved_stays_in_history(
    store: Store, run: Run, teller: Teller, home: Home
) -> None:
    _end(store, teller)
    home.trash.rmdir()
    with pytest.raises(StoreError, match="Cannot move run .*: .*No such file"):
        store.trash.move(run.run_id)
    assert len(store.runs.find()) == 1
    assert home.run_dir(run.run_id).path.is_dir()


def test_emptying_the_trash_deletes_for_good_and_only_there(
    store: Store, run: Run, teller: Teller, home: Home
) -> None:
    _end(store, teller)
    kept = store.runs.create(resolve_spec({}))
    store.trash.move(run.run_id)
    (home.trash / "left-over").mkdir()
    outside = home.path / "outside"
    outside.mkdir()
    (home.trash / "link").symlink_to(outside)
    assert store.trash.empty() == 3
    assert list(home.trash.iterdir()) == []
    assert outside.is_dir()
    assert store.runs.find(trashed=True) == []
    assert store.runs.find() == [kept]
    assert store.health()["runs"] == 1
    assert store.trash.empty() == 0


def test_deleting_a_run_deletes_what_it_measured(store: Store, run: Run, teller: Teller) -> None:
    teller.finishes()
    store.live.refresh()
    assert store.health()["metric_points"] > 0
    teller.run_dir.process.unlink()
    store.trash.move(run.run_id)
    store.trash.empty()
    health = store.health()
    assert (health["runs"], health["metric_points"], health["checkpoints"]) == (0, 0, 0)


def test_a_run_with_a_living_process_is_not_discarded(
    store: Store, run: Run, teller: Teller
) -> None:
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        teller.run_dir.write_process(process.pid)
        with pytest.raises(StoreError, match=f"still running as process {process.pid}"):
            store.trash.discard(run.run_id)
    store.trash.discard(run.run_id)
    assert store.runs.find() == []
