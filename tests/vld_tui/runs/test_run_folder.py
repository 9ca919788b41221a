"""What is read of a run folder, and that it is read anew only when it changed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from engine.rundir import RunDir
from tests.made_diagnoses import make_diagnosis
from tests.vld_tui.dashboard.run_facts import make_predictions
from tests.vld_tui.store.told_runs import Teller, numbered, started, steps_taken, stopped
from vld_tui.runs.run_folder import MOST_LOG_BYTES, EventFollower, FolderReader, read_events


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    path = tmp_path / "run"
    path.mkdir()
    return RunDir(path)


def test_the_same_object_while_nothing_changes(run_dir: RunDir) -> None:
    run_dir.log.write_text("one\ntwo\n")
    run_dir.write_predictions(make_predictions())
    reader = FolderReader(run_dir)
    first = reader.read()
    assert first.log == ("one", "two")
    assert first.predictions == make_predictions()
    assert reader.read() is first
    with run_dir.log.open("a") as file:
        file.write("three\n")
    second = reader.read()
    assert second.log == ("one", "two", "three")
    assert second.predictions is first.predictions
    run_dir.write_predictions(make_predictions(step=151))
    third = reader.read()
    assert third.predictions is not None
    assert third.predictions.step == 151


def test_of_a_long_log_the_last_whole_lines_are_read(run_dir: RunDir) -> None:
    line = b"x" * 99 + b"\n"
    run_dir.log.write_bytes(b"first\n" + line * (MOST_LOG_BYTES // 100 + 10) + b"\xff\x1b last")
    contents = FolderReader(run_dir).read()
    assert contents.log_is_cut
    assert set(map(len, contents.log[:-1])) == {99}
    assert contents.log[-1] == "\ufffd\x1b last"


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b'{"step": 1}'])
def test_predictions_that_cannot_be_read_are_told_in_words(run_dir: RunDir, data: bytes) -> None:
    run_dir.predictions.write_bytes(data)
    reader = FolderReader(run_dir)
    contents = reader.read()
    assert contents.predictions is None
    assert contents.predictions_problem
    run_dir.write_predictions(make_predictions())
    assert reader.read().predictions_problem is None


def test_files_are_listed_without_those_being_written(run_dir: RunDir) -> None:
    run_dir.checkpoints.mkdir()
    run_dir.last_checkpoint.write_bytes(b"12345")
    (run_dir.path / ".predictions.json.1-ab.tmp").write_bytes(b"1")
    (run_dir.path / "dangling").symlink_to("nowhere")
    run_dir.spec.write_text("{}")
    files = {each.name: each.bytes for each in FolderReader(run_dir).read().files}
    assert files == {"checkpoints/last.safetensors": 5, "spec.json": 2}


def test_a_folder_that_is_gone_holds_nothing(run_dir: RunDir) -> None:
    reader = FolderReader(run_dir)
    run_dir.log.write_text("one\n")
    assert reader.read().log
    shutil.rmtree(run_dir.path)
    contents = reader.read()
    assert (contents.log, contents.files, contents.predictions) == ((), (), None)


def test_what_a_killed_process_began_to_write_goes_and_nothing_else(run_dir: RunDir) -> None:
    dead, alive = 2**22 - 1, os.getppid()
    for folder in (run_dir.checkpoints, run_dir.evaluations, run_dir.diagnoses):
        folder.mkdir()
    torn = [
        run_dir.evaluations / f".photos.json.{dead}-0a.tmp",
        run_dir.diagnoses / f".rank.json.{dead}-0a.tmp",
        run_dir.checkpoints / f".last.safetensors.{dead}.tmp",
        run_dir.checkpoints / ".tmpBNv0Me",  # safetensors' own
        run_dir.path / f".process.json.{dead}-0a.tmp",
        run_dir.path / f".user.json.{dead}-0a.tmp",
    ]
    fresh = [
        run_dir.path / f".process.json.{alive}-0b.tmp",
        run_dir.path / f".user.json.{dead}-0b.tmp",
        run_dir.diagnoses / f".rank.json.{dead}-0b.tmp",
        run_dir.log,
    ]
    for path in (*torn, *fresh):
        path.touch()
    for path in torn:
        os.utime(path, (1.0, 1.0))
    with subprocess.Popen(["true"]) as killed:
        os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)  # ended, and not yet collected
        torn.append(run_dir.checkpoints / f".best.safetensors.{killed.pid}.tmp")
        torn[-1].touch()
        run_dir.delete_incomplete_files()
    assert [path for path in torn if path.exists()] == []
    assert [path for path in fresh if not path.exists()] == []


def test_storing_a_result_deletes_incomplete_ones_of_killed_processes(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path)
    run_dir.diagnoses.mkdir()
    torn = run_dir.diagnoses / f".rank.json.{2**22}-0a.tmp"
    torn.touch()
    os.utime(torn, (1.0, 1.0))
    written = run_dir.write_diagnosis(make_diagnosis())
    assert [*run_dir.diagnoses.iterdir()] == [written]


def test_each_event_is_handed_out_once(tmp_path: Path) -> None:
    teller = Teller(RunDir(tmp_path))
    follower = EventFollower(teller.run_dir)
    assert follower.poll() == []
    teller.says(started(), steps_taken(5, 1.0))
    assert [type(event).__name__ for event in follower.poll()] == ["RunStarted", "StepsTaken"]
    assert follower.poll() == []
    teller.says(stopped(5))
    (event,) = follower.poll()
    assert event.seq == 2


def test_a_follower_that_comes_late_sees_all_events(tmp_path: Path) -> None:
    teller = Teller(RunDir(tmp_path))
    teller.says(started(), stopped(5))
    assert [event.seq for event in EventFollower(teller.run_dir).poll()] == [0, 1]


def test_a_line_in_the_making_waits_for_its_end(tmp_path: Path) -> None:
    teller = Teller(RunDir(tmp_path))
    follower = EventFollower(teller.run_dir)
    line = numbered(steps_taken(5, 1.0), seq=0)
    for cut in range(1, len(line)):
        teller.run_dir.events.write_bytes(line[:cut])
        assert follower.poll() == []
    teller.run_dir.events.write_bytes(line)
    assert [event.seq for event in follower.poll()] == [0]


def test_damaged_lines_are_counted_and_skipped(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\xff\n\n{}\n" + numbered(stopped(5), seq=3) + b"torn")
    batch = read_events(path, 0)
    assert [event.seq for event in batch.events] == [3]
    assert batch.damaged_lines == 2
    assert batch.offset == path.stat().st_size - len(b"torn")
    assert read_events(path, batch.offset).events == ()


def test_a_file_that_became_shorter_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(numbered(stopped(5), seq=0))
    batch = read_events(path, 10_000)
    assert batch.restarted
    assert len(batch.events) == 1


def test_a_file_that_is_gone_has_nothing_new(tmp_path: Path) -> None:
    batch = read_events(tmp_path / "events.jsonl", 500)
    assert (batch.events, batch.offset, batch.restarted) == ((), 500, False)
