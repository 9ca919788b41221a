from __future__ import annotations

from pathlib import Path

from engine.rundir import RunDir
from tests.vld_tui.store.told_runs import Teller, numbered, started, steps_taken, stopped
from vld_tui.runs.event_reader import EventFollower, read_events


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
