"""Changes of name, note, tags and trash, and undoing them."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from engine.protocol import resolve_spec
from vld_tui.control.each_run import checked
from vld_tui.control.edits import EditHistory, change_tags, rename, set_note, trash
from vld_tui.dashboard.actions import Actions
from vld_tui.home import Home, open_home
from vld_tui.runs.run import Run
from vld_tui.store.errors import AmbiguousRun, DatabaseLocked, RunNotFound, StoreError
from vld_tui.store.labels import typed_tags
from vld_tui.store.store import Store
from vld_tui.study.results.groups import distinctions


def ended_run(store: Store, name: str, **fields: object) -> Run:
    """Return a run that was dequeued."""
    run = store.runs.create(resolve_spec(fields), name=name, is_queued=True)
    store.queue.remove(run.run_id)
    return store.runs.get(run.run_id)


def labels(store: Store, run: Run) -> tuple[str, str, tuple[str, ...]]:
    now = store.runs.get(run.run_id)
    return now.name, now.note, now.tags


def test_edits_are_undone_one_after_another(store: Store) -> None:
    run, other, edits = ended_run(store, "first"), ended_run(store, "other"), EditHistory()
    edits.add(change_tags(store, [run.run_id, other.run_id], typed_tags("best, later", ())))
    assert labels(store, other)[2] == ("best", "later")
    edits.add(set_note(store, run.run_id, "one\ntwo"))
    edits.add(set_note(store, run.run_id, "  "))
    edits.add(rename(store, run.run_id, "second"))
    edits.add(rename(store, run.run_id, "second"))
    edits.add(trash(store, [run.run_id, other.run_id]))
    assert store.runs.find() == []
    assert edits.undo(store) is not None
    assert len(store.runs.find()) == 2, "marked runs are one edit"
    assert labels(store, run) == ("second", "", ("best", "later"))
    edits.undo(store)
    assert labels(store, run)[:2] == ("first", ""), "a rename to the same name is no edit"
    edits.undo(store)
    assert labels(store, run)[1] == "one\ntwo"
    edits.undo(store)
    edits.undo(store)
    assert [labels(store, each) for each in (run, other)] == [("first", "", ()), ("other", "", ())]
    assert edits.undo(store) is None


def test_what_was_changed_since_is_not_undone(store: Store) -> None:
    run, edits = ended_run(store, "first"), EditHistory()
    edits.add(change_tags(store, [run.run_id], typed_tags("best", ())))
    edits.add(set_note(store, run.run_id, "mine"))
    store.labels.set_note(run.run_id, "theirs")
    store.labels.change_tags(run.run_id, lambda tags: [*tags, "theirs"])
    with pytest.raises(StoreError, match="the note of first has been changed since"):
        edits.undo(store)
    edits.undo(store)
    assert labels(store, run) == ("first", "theirs", ("theirs",))


def test_runs_that_cannot_be_trashed_stay_and_it_is_said_why(store: Store) -> None:
    run, live = ended_run(store, "first"), store.runs.create(resolve_spec({}), name="live")
    done = trash(store, [run.run_id, live.run_id])
    assert done.run_ids == (run.run_id,)
    assert "Stop it first" in str(done.refusals[0].error)
    with pytest.raises(StoreError, match="Stop it first"):
        checked(trash(store, [live.run_id]))


def test_tags_of_a_run_that_refuses_them_leave_those_of_others_to_undo(store: Store) -> None:
    run, gone, last = (ended_run(store, name) for name in ("first", "gone", "last"))
    shutil.rmtree(store.home.run_dir(gone.run_id).path)
    edits = EditHistory()
    done = change_tags(store, [run.run_id, gone.run_id, last.run_id], typed_tags("best", ()))
    edits.add(done)
    assert done.run_ids == (run.run_id, last.run_id)
    assert [each.run_id for each in done.refusals] == [gone.run_id]
    assert labels(store, last)[2] == ("best",)
    edits.undo(store)
    assert [labels(store, each)[2] for each in (run, gone, last)] == [(), (), ()]
    with pytest.raises(StoreError, match="Cannot change the tags"):
        checked(change_tags(store, [gone.run_id], typed_tags("best", ())))


def test_an_edit_that_cannot_be_undone_now_can_be_later(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vld_tui.store.database.BUSY_TIMEOUT_S", 0.0)
    with Store.open(home) as store:
        run, edits = ended_run(store, "first"), EditHistory()
        edits.add(set_note(store, run.run_id, "note"))
        edits.add(change_tags(store, [run.run_id], typed_tags("best", ())))
        with contextlib.closing(sqlite3.connect(home.database)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(DatabaseLocked):
                edits.undo(store)
        edits.undo(store)
        assert labels(store, run) == ("first", "note", ())


def test_the_refused_part_of_an_edit_can_be_undone_later(store: Store) -> None:
    run, other, edits = ended_run(store, "first"), ended_run(store, "other"), EditHistory()
    edits.add(trash(store, [run.run_id, other.run_id]))
    obstacle = store.home.run_dir(other.run_id).path
    obstacle.mkdir()
    undone = edits.undo(store)
    assert undone is not None
    assert undone.edit.run_ids == (run.run_id,)
    assert [each.run_id for each in undone.refusals] == [other.run_id]
    obstacle.rmdir()
    assert edits.undo(store) is not None
    assert {each.run_id for each in store.runs.find()} == {run.run_id, other.run_id}
    assert edits.undo(store) is None


def test_an_edit_that_can_never_be_undone_does_not_hide_earlier_ones(store: Store) -> None:
    run, other, edits = ended_run(store, "first"), ended_run(store, "other"), EditHistory()
    edits.add(set_note(store, run.run_id, "mine"))
    edits.add(set_note(store, other.run_id, "mine"))
    edits.add(trash(store, [other.run_id]))
    shutil.rmtree(store.home.trashed_run_dir(other.run_id).path)
    edits.undo(store)
    with pytest.raises(StoreError, match="was deleted or moved"):
        edits.undo(store)
    edits.undo(store)
    assert labels(store, run)[1] == ""


def test_runs_restored_or_deleted_before_a_refusal_are_not_undone_again(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    with Store.open(home) as store:
        run, other = ended_run(store, "X"), ended_run(store, "Y")
    actions = Actions(home)
    for act in (actions.restore, actions.delete):
        actions.trash([run.run_id])
        assert "1 run not: Run" in act([run.run_id, other.run_id])
        assert actions.undo().said == "Nothing to undo."


def test_the_dashboard_says_what_it_undoes(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    with Store.open(home) as store:
        run, other = ended_run(store, "X"), ended_run(store, "Y")
    actions = Actions(home)
    assert actions.change_tags([run.run_id], (), "extra") == "saved: tag extra on X"
    actions.change_tags([run.run_id], ("extra",), "")
    actions.set_note(run.run_id, "why")
    actions.rename(run.run_id, "Z")
    said = actions.trash([run.run_id, other.run_id])
    assert said == "Moved 2 runs to the trash (z to undo)."
    undone = [actions.undo() for _ in range(6)]
    assert undone[0].run_ids == (run.run_id, other.run_id)
    assert [each.said for each in undone] == [
        "undo: trash of 2 runs",
        "undo: rename of X to Z",
        "undo: note on X",
        "undo: removed extra on X",
        "undo: tag extra on X",
        "Nothing to undo.",
    ]


def test_runs_of_one_name_are_told_apart(store: Store) -> None:
    first = ended_run(store, "same", steps=30)
    second = ended_run(store, "same", steps=3)
    third = ended_run(store, "same", steps=3)
    store.trash.move(first.run_id)
    second_end, third_end = second.run_id[-4:], third.run_id[-4:]
    assert [run.label for run in (first, second, third)] == [
        "same", f"same #{second_end}", f"same #{third_end}",
    ]  # fmt: skip
    assert store.runs.get(second.label) == second
    assert store.runs.get(f"same #{first.run_id[-4:]}", in_trash=True).run_id == first.run_id
    with pytest.raises(AmbiguousRun):
        store.runs.get("same")
    told = distinctions(["same"] * 3, [first, second, third])
    assert told == [" steps 30", f" steps 3 #{second_end}", f" steps 3 #{third_end}"]
    store.trash.delete(first.run_id)
    assert [store.runs.get(run.label).run_id for run in (second, third)] == [
        second.run_id, third.run_id,
    ], "a shown name means the same run after another was deleted"  # fmt: skip
    rename(store, second.run_id, "other")
    with pytest.raises(RunNotFound):
        store.runs.get(second.label)


def test_every_run_of_a_name_is_found_by_the_label_it_is_shown_with(store: Store) -> None:
    spec = resolve_spec({})
    made = store.runs.create_many([spec] * 103, is_queued=True)
    for run in store.runs.find()[:103:17]:
        assert store.runs.get(run.label if run.has_namesake else run.run_id) == run
    assert sum(run.has_namesake for run in store.runs.find()) == len(made) - 1


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ("best, later", (), ("best", "later")),
        ("best,,later,", ("old",), ("best", "later")),
        ("", ("old",), ()),
        ("-old +new", ("old", "kept"), ("kept", "new")),
    ],
)
def test_tags_are_typed_with_spaces_or_commas(
    text: str, before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    assert tuple(typed_tags(text, before)(before)) == after


@pytest.mark.parametrize("text", ["-old new", "x" * 65, "new -"])
def test_unusable_tags_are_refused(text: str) -> None:
    with pytest.raises(StoreError, match="tag"):
        typed_tags(text, ())
