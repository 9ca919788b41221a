"""When a run was at which step."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vld_tui.runs.step_times import read_step_times


def write_log(path: Path, steps: list[int], *, start: float = 100.0, padding: int = 0) -> Path:
    lines = [{"type": "run_started", "seq": 0, "time": start, "attempt": 1}]
    lines += [
        {"type": "steps_taken", "seq": at, "time": start + at, "step": step, "x": "." * padding}
        for at, step in enumerate(steps, start=1)
    ]
    written = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    path.write_text(written)
    return path


def test_times_between_known_steps_are_interpolated(tmp_path: Path) -> None:
    times = read_step_times(write_log(tmp_path / "events.jsonl", [0, 10, 20]))
    assert times is not None
    assert times.start == 100
    assert times.at(np.array([0.0, 5.0, 20.0])).tolist() == [101, 101.5, 103]


def test_a_step_repeated_after_a_resume_has_its_last_time(tmp_path: Path) -> None:
    times = read_step_times(write_log(tmp_path / "events.jsonl", [10, 20, 30, 20, 30]))
    assert times is not None
    assert times.steps.tolist() == [10, 20, 30]
    assert times.times.tolist() == [101, 104, 105]


def test_a_long_log_is_read_in_parts_with_its_first_and_last_step(tmp_path: Path) -> None:
    steps = list(range(1, 60_001))
    times = read_step_times(write_log(tmp_path / "events.jsonl", steps, padding=50))
    assert times is not None
    assert len(times.steps) < 40_000
    read = times.at(np.array([1.0, 30_000.0, 60_000.0]))
    assert read == pytest.approx([101, 30_100, 60_100], abs=60)
    assert (read[0], read[-1]) == (101, 60_100)


@pytest.mark.parametrize("text", ["", "no events", '{"type":"run_started","seq":0,"time":1.0}\n'])
def test_a_log_without_steps_has_no_times(tmp_path: Path, text: str) -> None:
    path = tmp_path / "events.jsonl"
    assert read_step_times(path) is None
    path.write_text(text)
    assert read_step_times(path) is None
