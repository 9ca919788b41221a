"""When queued runs are expected to start."""

from __future__ import annotations

from tests.vld_tui.dashboard.fake_history import make_run
from vld_tui.study.queue_times import QueueTime, expected_times

QUEUED = [make_run(at, status="queued", queue_position=float(at)) for at in range(4)]
TAKES = {run.run_id: 100.0 for run in QUEUED}


def starts(*live_s: float | None, slots: int) -> list[float | None]:
    live = [make_run(50 + at, status="running", seconds_left=left)
            for at, left in enumerate(live_s)]  # fmt: skip
    return [each.starts_s for each in expected_times(live, QUEUED, TAKES, slots).values()]


def test_runs_start_in_order_as_slots_become_free() -> None:
    assert starts(slots=1) == [0.0, 100.0, 200.0, 300.0]
    assert starts(30.0, slots=2) == [0.0, 30.0, 100.0, 130.0]
    assert starts(10.0, 20.0, 70.0, slots=2) == [20.0, 70.0, 120.0, 170.0], "more than slots"


def test_after_a_run_of_unknown_length_the_start_is_unknown() -> None:
    assert starts(None, slots=1) == [None] * 4
    first, second, third, _ = QUEUED
    found = expected_times([], [first, second, third], {**TAKES, second.run_id: None}, 1)
    assert [*found.values()] == [
        QueueTime(0.0, 100.0),
        QueueTime(100.0, None),
        QueueTime(None, 100.0),
    ]


def test_a_held_run_takes_no_slot() -> None:
    held = make_run(9, status="queued", queue_position=0.0, is_held=True)
    found = expected_times([], [held, QUEUED[0]], {**TAKES, held.run_id: 5.0}, 1)
    assert [*found.values()] == [QueueTime(None, 5.0), QueueTime(0.0, 100.0)]
