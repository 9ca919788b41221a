"""Runs with long logs: what is asked of their ends is read from the ends."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from engine.protocol import resolve_spec
from engine.rundir import RunDir
from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.store.told_runs import (
    data_prepared,
    evaluation,
    finished,
    model_prepared,
    numbered,
    started,
    steps_taken,
)
from vld_tui.cli import show as show_module
from vld_tui.home import open_home
from vld_tui.runs.run_folder import read_events, start_of_last_lines
from vld_tui.store import ingest
from vld_tui.store.store import Store
from vld_tui.views.event_lines import FIRST_BYTES

STEPS = 40_000
EVALUATED_EVERY = 400
SELECTED = 20_000


def write_log(run_dir: RunDir, steps: int) -> None:
    """Write the log of a run that was over long ago: its loss at each step, some evaluations."""
    told = [started(), data_prepared(), model_prepared()]
    for step in range(1, steps + 1):
        told.append(steps_taken(step, 1 / step))
        if step % EVALUATED_EVERY == 0:
            accuracy = 0.75 if step == SELECTED else 0.5
            told.append(evaluation(step, id_accuracy=accuracy, ood_accuracy=0.25))
    told.append(finished(steps, selected_step=SELECTED, id_accuracy=0.75, ood_accuracy=0.25))
    lines = (numbered(event, seq) for seq, event in enumerate(told))
    run_dir.events.write_bytes(b"".join(lines))


@pytest.fixture(scope="module")
def long_run(tmp_path_factory: pytest.TempPathFactory) -> Vld:
    """Return a home with a run of 40,000 steps, 9 MiB of events."""
    home = open_home(tmp_path_factory.mktemp("long") / "home")
    with Store.open(home) as store:
        run_dir = store.runs.run_dir(
            store.runs.create(resolve_spec({"steps": STEPS}), name="long").run_id
        )
        write_log(run_dir, STEPS)
        run_dir.log.write_text("".join(f"printed {number}\n" for number in range(1000)))
        store.folders.rebuild()
    return Vld(home.path)


def test_the_last_lines_are_those_of_the_whole_log(long_run: Vld) -> None:
    whole = long_run("logs", "long").stdout.splitlines()
    assert len(whole) > STEPS
    for count in (1, 5, 999, 1001, 1010):
        assert long_run("logs", "long", "-n", str(count)).stdout.splitlines() == whole[-count:]
    assert long_run("logs", "long", "-n", str(10**6)).stdout.splitlines() == whole


def test_few_lines_take_few_reads(long_run: Vld, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counted(path: Path, offset: int, **options: int) -> object:
        asked.append(path.stat().st_size - offset)
        return read_events(path, offset, **options)

    monkeypatch.setattr("vld_tui.views.event_lines.read_events", counted)
    assert "finished" in long_run("logs", "long", "-n", "1003").stdout
    assert asked == [FIRST_BYTES]


@pytest.mark.parametrize("as_json", [False, True])
def test_a_long_run_is_shown_as_a_short_one_is(
    long_run: Vld, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    command = ["show", "long", *(["--json"] if as_json else [])]
    monkeypatch.setattr(show_module, "LONG_LOG_BYTES", 2**40)
    expected = long_run(*command).stdout
    monkeypatch.setattr(show_module, "LONG_LOG_BYTES", 2**10)
    assert long_run(*command).stdout == expected


def test_a_curve_of_many_points_has_its_first_selected_and_last(long_run: Vld) -> None:
    with Store.open(open_home(long_run.home)) as store:
        run = store.runs.get("long")
        (loss, *_) = [
            each.points
            for each in store.series.thinned(run.run_id, most=50, kept_step=SELECTED + 1)
            if (each.key.name, each.key.split) == ("loss", "train")
        ]
        whole = store.series.thinned(run.run_id, most=10**9)
        assert repr(whole) == repr(store.series.all(run.run_id))  # some values are not finite
    assert 50 <= len(loss.steps) <= 53
    assert (loss.steps[0], loss.steps[-1]) == (1, STEPS)
    assert SELECTED + 1 in loss.steps
    assert list(loss.steps) == sorted(loss.steps)
    assert all(value == 1 / step for step, value in zip(loss.steps, loss.values, strict=True))
    assert "step 20,000" in long_run("curve", "long").stdout


def test_a_rebuild_holds_a_part_of_a_log_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = open_home(tmp_path / "home")
    monkeypatch.setattr(ingest, "BATCH_BYTES", 2**16)
    with Store.open(home) as store:
        run_dir = store.runs.run_dir(store.runs.create(resolve_spec({"steps": STEPS})).run_id)
        write_log(run_dir, STEPS // 4)
        size = run_dir.events.stat().st_size
        tracemalloc.start()
        try:
            assert store.folders.rebuild().runs == 1
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(store.series.metrics(run_dir.run_id, name="loss", split="train")) == STEPS // 4
    assert peak < size / 2, f"{peak:,} bytes at most, of {size:,}"


def test_others_write_while_a_long_log_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = open_home(tmp_path / "home")
    with Store.open(home) as store, Store.open(home) as other:
        kept = store.runs.create(resolve_spec({"seed": 1}), name="kept")
        run_dir = store.runs.run_dir(store.runs.create(resolve_spec({"steps": STEPS})).run_id)
        write_log(run_dir, 1000)
        monkeypatch.setattr(ingest, "BATCH_BYTES", 2**14)
        notes = 0

        def beside(path: Path, offset: int, **options: int) -> object:
            nonlocal notes
            notes += 1
            other.labels.set_note(kept.run_id, f"note {notes}")
            return read_events(path, offset, **options)

        monkeypatch.setattr(ingest, "read_events", beside)
        store.folders.rebuild()
        assert notes > 10
        assert store.runs.get(kept.run_id).note == f"note {notes}"


def test_the_end_of_what_a_process_printed_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vld_tui.runs.run_folder.BLOCK_BYTES", 7)
    path = tmp_path / "engine.log"
    for content in (b"", b"\n", b"one", b"one\n", b"\n\nthree\nfour\n", b"a\nlonger one\n\nend"):
        path.write_bytes(content)
        lines = content.splitlines(keepends=True)
        for count in range(7):
            start = start_of_last_lines(path, count)
            assert content[start:] == b"".join(lines[-count:] if count else [])
