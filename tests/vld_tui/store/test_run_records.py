from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.protocol import RunSpec, resolve_spec
from engine.rundir import RunDir
from tests.vld_tui.store.told_runs import Teller
from vld_tui.home import Home
from vld_tui.runs.run import Run
from vld_tui.store.errors import AmbiguousRun, RunNotFound, StoreError
from vld_tui.store.labels import is_generated
from vld_tui.store.runs import MADE_AT_ONCE
from vld_tui.store.store import Store


def test_a_new_run_is_starting_and_lies_in_its_folder(store: Store, home: Home) -> None:
    spec = resolve_spec({"seed": 3, "lr": 0.01, "lr_drops": [5, 9]})
    run = store.runs.create(spec, name="mine", tags=["a", "b", "a"])
    assert (run.status, run.step, run.steps, run.attempts) == ("starting", 0, spec.steps, 0)
    assert (run.name, run.tags, run.note) == ("mine", ("a", "b"), "")
    assert run.spec == spec
    assert abs(run.created_at - time.time()) < 60
    run_dir = home.run_dir(run.run_id)
    assert run_dir.read_spec() == spec
    user = run_dir.read_user()
    assert (user.name, user.tags, user.created_at) == ("mine", ("a", "b"), run.created_at)


def test_ids_sort_by_creation_and_make_good_folder_names(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = store.runs.create(resolve_spec({}))
    a_second_later = time.time() + 1
    monkeypatch.setattr(time, "time", lambda: a_second_later)
    second = store.runs.create(resolve_spec({}))
    assert first.run_id < second.run_id
    assert all(c.isalnum() or c == "-" for c in first.run_id)
    assert first.run_id == first.run_id.lower()


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"target": "noto", "masks": 4, "seed": 2}, "noto-d0.9-m4-s2"),
        ({"target": "noto", "dropout_rate": 0.0}, "noto-d0-s0"),
        ({"target": "Real World/x"}, "Real-World-x-d0.9-m8-s0"),
        ({"target": "-rf"}, "rf-d0.9-m8-s0"),
        ({"data_dir": "/data/pacs"}, "pacs-d0.9-m8-s0"),
    ],
)
def test_a_run_without_a_name_gets_a_readable_one(
    store: Store, fields: dict[str, object], name: str
) -> None:
    assert store.runs.create(resolve_spec(fields)).name == name


@pytest.mark.parametrize(
    ("fields", "named_by", "name"),
    [
        ({"objective": "rpdro"}, {"objective"}, "clipart-d0.9-m8-rpdro-s0"),
        ({"objective": "vrex+coral"}, {"objective"}, "clipart-d0.9-m8-coral-vrex-s0"),
        ({}, {"objective", "outliers"}, "clipart-d0.9-m8-s0"),
        ({"lr": 1e-3}, {"lr", "weight_decay"}, "clipart-d0.9-m8-lr-0.001-weight-decay-0.0001-s0"),
        ({"sampling": "balanced"}, {"sampling"}, "clipart-d0.9-m8-sampling-balanced-s0"),
        ({"masks": "inf"}, {"masks", "mask_basis"}, "clipart-d0.9-minf-s0"),
        ({"weights": "/my nets/a.pth"}, {"weights"}, "clipart-d0.9-m8-weights-a.pth-s0"),
        ({"dataset": "objects-drawn"}, {"dataset"}, "objects-drawn-clipart-d0.9-m8-s0"),
        ({"weights": "x" * 200, "seed": 7}, {"weights"}, f"clipart-d0.9-m8-weights-{'x' * 73}-s7"),
    ],
)
def test_a_name_contains_the_fields_that_differ(
    store: Store, fields: dict[str, object], named_by: set[str], name: str
) -> None:
    spec = resolve_spec(fields)
    (made,) = store.runs.create_many([spec], named_by=named_by)
    assert store.runs.get(made).name == name
    assert is_generated(name, spec)
    assert not is_generated("mine", spec)


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "a/b", "@last", "-v", "--name", "\udcff"])
def test_a_name_that_means_something_else_is_refused(store: Store, home: Home, name: str) -> None:
    with pytest.raises(StoreError, match="name"):
        store.runs.create(resolve_spec({}), name=name)
    assert store.runs.find() == []
    assert list(home.runs.iterdir()) == []


@pytest.mark.parametrize("tag", ["", "two words", "tab\tbed", "x" * 65, "+a", "-a", "\udcff"])
def test_a_tag_that_is_no_word_is_refused(store: Store, run: Run, tag: str) -> None:
    with pytest.raises(StoreError, match="tag"):
        store.labels.change_tags(run.run_id, lambda _: ["fine", tag])
    assert store.runs.get(run.run_id).tags == run.tags


def test_values_that_are_not_text_are_refused(store: Store, home: Home) -> None:
    with pytest.raises(StoreError, match="must be text"):
        store.runs.create(RunSpec(data_dir="/data/\udcff"), name="fine")
    assert store.runs.find() == []
    assert list(home.runs.iterdir()) == []


def test_labels_change_in_history_and_in_the_folder(store: Store, run: Run, home: Home) -> None:
    store.labels.rename(run.run_id, "second; DROP TABLE runs")
    store.labels.change_tags(run.run_id, lambda _: ["'quoted'", "b%"])
    store.labels.set_note(run.run_id, "line\nline \x1b[31m [bold]")
    changed = store.runs.get(run.run_id)
    assert changed.name == "second; DROP TABLE runs"
    assert changed.tags == ("'quoted'", "b%")
    assert changed.note == "line\nline \x1b[31m [bold]"
    user = home.run_dir(run.run_id).read_user()
    assert (user.name, user.tags, user.note) == (changed.name, changed.tags, changed.note)
    assert user.created_at == run.created_at


def test_a_label_that_cannot_be_written_to_the_folder_stays_as_it_was(
    store: Store, run: Run, home: Home
) -> None:
    path = home.run_dir(run.run_id).user
    path.unlink()
    path.mkdir()
    with pytest.raises(StoreError, match=r"Cannot write .*user\.json"):
        store.labels.set_note(run.run_id, "new")
    assert store.runs.get(run.run_id).note == ""


@settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(note=st.text(), tag=st.text(min_size=1, max_size=64))
def test_any_text_is_kept_as_it_is(store: Store, run: Run, note: str, tag: str) -> None:
    is_word = not any(sign.isspace() or sign == "," for sign in tag) and tag[0] not in "+-"
    if is_word:
        store.labels.change_tags(run.run_id, lambda _: [tag])
        assert store.runs.get(run.run_id).tags == (tag,)
    store.labels.set_note(run.run_id, note)
    assert store.runs.get(run.run_id).note == note


def test_a_run_is_found_by_id_prefix_name_and_last(store: Store) -> None:
    older = store.runs.create(resolve_spec({}), name="older")
    newer = store.runs.create(resolve_spec({}), name="newer")
    assert store.runs.get(older.run_id) == older
    assert store.runs.get("older") == older
    assert store.runs.get("@last") == newer
    prefix = next(newer.run_id[:n] for n in range(1, 30) if newer.run_id[:n] != older.run_id[:n])
    assert store.runs.get(prefix) == newer


def test_a_name_wins_over_the_start_of_an_id(store: Store) -> None:
    other = store.runs.create(resolve_spec({}), name="other")
    named = store.runs.create(resolve_spec({}), name=other.run_id[:13])
    assert store.runs.get(other.run_id[:13]) == named


def test_a_name_of_several_runs_lists_their_ids(store: Store) -> None:
    runs = [store.runs.create(resolve_spec({}), name="twin") for _ in range(2)]
    with pytest.raises(AmbiguousRun, match="'twin' matches 2 runs") as caught:
        store.runs.get("twin")
    assert all(run.run_id in str(caught.value) for run in runs)


def test_of_runs_with_one_name_the_one_not_in_the_trash_is_meant(store: Store) -> None:
    runs = [store.runs.create(resolve_spec({}), name="twin") for _ in range(2)]
    for run in runs:
        Teller(store.runs.run_dir(run.run_id)).finishes()
        store.runs.run_dir(run.run_id).process.unlink()
    store.trash.move(runs[0].run_id)
    assert store.runs.get("twin").run_id == runs[1].run_id


@pytest.mark.parametrize(
    "reference", ["frist", "", "@first", "%", "_", "\x00", "\udcff", "' OR 1=1"]
)
def test_an_unknown_run_is_said_to_be(store: Store, run: Run, reference: str) -> None:
    assert run.name == "first"
    with pytest.raises(RunNotFound, match="No run") as caught:
        store.runs.get(reference)
    assert ("Did you mean first?" in str(caught.value)) == (reference == "frist")


def test_without_runs_there_is_no_last_one(store: Store) -> None:
    with pytest.raises(RunNotFound, match="No runs yet"):
        store.runs.get("@last")


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.series.metrics("none"),
        lambda store: store.series.timeline("none"),
        lambda store: store.checkpoints.saved("none"),
        lambda store: store.labels.set_note("none", "x"),
        lambda store: store.trash.move("none"),
        lambda store: store.trash.restore("none"),
        lambda store: store.trash.discard("none"),
        lambda store: store.live.mark_relaunched("none"),
    ],
)
def test_every_method_names_the_run_it_does_not_know(store: Store, ask: object) -> None:
    assert callable(ask)
    with pytest.raises(RunNotFound, match="No run 'none'"):
        ask(store)


def test_lists_show_the_newest_first(store: Store) -> None:
    runs = [store.runs.create(resolve_spec({"seed": seed})) for seed in range(3)]
    assert store.runs.find() == runs[::-1]


def test_an_unwritable_runs_folder_leaves_no_row(store: Store, home: Home) -> None:
    home.runs.rmdir()
    Path(home.runs).write_text("not a folder")
    with pytest.raises(StoreError, match="Cannot create"):
        store.runs.create(resolve_spec({}))
    assert store.runs.find() == []


def test_many_runs_are_made_in_order_and_whole(store: Store) -> None:
    specs = [resolve_spec({"seed": seed}) for seed in range(MADE_AT_ONCE + 5)]
    store.runs.create(resolve_spec({"seed": 999}), is_queued=True)
    store.runs.create_many(specs, tags=("study",), is_queued=True)
    queued = store.queue.runs()
    assert [run.seed for run in queued] == [999, *range(MADE_AT_ONCE + 5)]
    assert {run.tags for run in queued[1:]} == {("study",)}
    assert len({run.run_id for run in queued}) == MADE_AT_ONCE + 6
    assert all(store.runs.run_dir(run.run_id).read_spec() == run.spec for run in queued)
    report = store.folders.rebuild()
    assert (report.runs, report.damaged) == (MADE_AT_ONCE + 6, ())


def test_many_runs_of_which_one_cannot_be_made_leave_none_by_halves(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse_the_last(run_dir: RunDir, spec: RunSpec, *rest: Any) -> None:
        if spec.seed == MADE_AT_ONCE + 1:
            raise OSError(28, "No space left on device", str(run_dir.path))
        create(run_dir, spec, *rest)

    create = RunDir.create
    monkeypatch.setattr(RunDir, "create", refuse_the_last)
    specs = [resolve_spec({"seed": seed}) for seed in range(MADE_AT_ONCE + 2)]
    with pytest.raises(StoreError, match="Cannot create .*: No space left on device"):
        store.runs.create_many(specs, is_queued=True)
    assert len(store.queue.runs()) == len(list(store.home.runs.iterdir())) == MADE_AT_ONCE
