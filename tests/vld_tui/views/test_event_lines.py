"""The end of what a run told, in lines."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest

from engine.protocol import resolve_spec
from engine.rundir import RunDir
from tests.vld_tui.store.told_runs import Teller, data_prepared, evaluation, finished, steps_taken
from vld_tui.views.event_lines import EventTail

SPEC = resolve_spec({"steps": 60_000})


@pytest.fixture
def teller(tmp_path: Path) -> Teller:
    """Return who tells a run."""
    return Teller(RunDir(tmp_path))


def test_a_run_that_worked_tells_all_of_it(teller: Teller) -> None:
    tail = EventTail(teller.run_dir.events)
    assert tail.read(SPEC) == ()
    teller.finishes()
    lines = tail.read(SPEC)
    assert lines[0].startswith("network")
    assert "step     10/60,000  loss 1.500" in lines[-5]
    assert lines[-1].endswith("selected step 10 · ID 80.0% · OOD 50.0%")
    assert tail.read(SPEC) is lines
    assert not tail.is_cut


def test_balanced_accuracy_stands_beside_accuracy_and_what_selected_is_named(
    teller: Teller,
) -> None:
    spec = msgspec.structs.replace(SPEC, select_on="balanced")
    told = msgspec.structs.replace(
        evaluation(10, id_accuracy=0.8, ood_accuracy=0.5), selection_score=0.7,
        measures={"balanced_accuracy": (0.7, 0.4)},
    )  # fmt: skip
    teller.says(told, finished(20, selected_step=10, id_accuracy=0.8, ood_accuracy=0.5))
    first, last = EventTail(teller.run_dir.events).read(spec)
    assert "ID 80.0% · OOD 50.0% · balanced 70.0% / 40.0%" in first
    assert first.endswith("best ID balanced so far")
    assert "selected step 10 on ID balanced · ID 80.0% · OOD 50.0% · balanced 70.0%" in last


def test_what_comes_is_added_and_half_a_line_is_not(teller: Teller) -> None:
    tail = EventTail(teller.run_dir.events)
    teller.says(steps_taken(10, 1.5))
    before = tail.read(SPEC)
    teller.writes(b'{"type":"steps_')
    assert tail.read(SPEC) is before
    teller.run_dir.events.unlink()
    assert tail.read(SPEC) is before
    teller.writes(b"[red]\x1b\n")
    assert tail.read(SPEC) == ()


def test_a_log_begun_anew_is_read_anew(teller: Teller) -> None:
    tail = EventTail(teller.run_dir.events)
    teller.says(steps_taken(10, 1.5), steps_taken(20, 1.4))
    assert len(tail.read(SPEC)) == 2
    teller.run_dir.events.write_bytes(b"")
    teller.says(steps_taken(30, 1.3))
    (line,) = tail.read(SPEC)
    assert "step     30" in line


def test_the_end_of_a_long_run_is_read_fast_and_says_that_it_is_one(teller: Teller) -> None:
    teller.says(data_prepared())
    teller.says(steps_taken(1, 0.5))
    line = teller.run_dir.events.read_bytes().splitlines(keepends=True)[-1]
    teller.writes(line * 50_000)
    best = evaluation(50_000, id_accuracy=0.8, ood_accuracy=0.5, is_best=False)
    teller.says(best, finished(50_000, selected_step=10, id_accuracy=0.9, ood_accuracy=0.5))
    tail = EventTail(teller.run_dir.events)
    began = time.process_time()
    lines = tail.read(SPEC)
    assert time.process_time() - began < 1
    assert tail.is_cut
    assert 500 < len(lines) < 5_000
    assert "noto" in lines[-2]  # the domains come from the start of the log
    assert "selected step 10 · ID 90.0%" in lines[-1]  # as the last event has it
    teller.says(steps_taken(50_001, 0.5))
    assert len(tail.read(SPEC)) == len(lines) + 1


def test_no_more_lines_are_kept_than_can_be_searched(
    teller: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vld_tui.views.event_lines.MOST_LINES", 2)
    tail = EventTail(teller.run_dir.events)
    teller.says(*(steps_taken(step, 1.0) for step in (1, 2, 3)))
    assert [line.split()[1] for line in tail.read(SPEC)] == ["2/60,000", "3/60,000"]
    assert tail.is_cut
