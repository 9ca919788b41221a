"""A cluster's jobs in words."""

from __future__ import annotations

import msgspec
import pytest

from tests.vld_tui.dashboard.fake_history import make_run
from vld_tui.views.queue import job_lines, job_text, reason_in_words
from vld_tui.views.run_status import run_heading

WAITS = make_run(
    1, status="queued", job="7_1", has_job=True, job_state="PENDING", job_reason="Priority"
)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "7_1 · pending (Priority)"),
        ({"job_state": "RUNNING", "job_reason": None}, "7_1 · running"),
        (
            {"has_job": False, "job_state": "OUT_OF_MEMORY", "job_reason": None},
            "7_1 · out of memory",
        ),
        ({"has_job": False, "job_state": "CANCELLED"}, "7_1 · cancelled"),
        ({"has_job": False, "job_state": "FORGOTTEN", "job_reason": None}, "7_1 · over"),
        ({"status": "stopped"}, "7_1 · pending"),
        ({"status": "stopped", "has_job": False, "job_state": "PENDING"}, "7_1 · over"),
        (
            {"status": "stopped", "has_job": False, "job_state": "UNKNOWN"},
            "7_1 · detached",
        ),
        (
            {"has_job": False, "job_state": "FAILED", "job_reason": "exit code 3"},
            "7_1 · failed (exit code 3)",
        ),
    ],
)
def test_a_job_is_told_by_id_and_state(changes: dict[str, object], text: str) -> None:
    assert job_text(msgspec.structs.replace(WAITS, **changes)) == text


def test_the_queue_tells_of_the_cluster_where_there_are_jobs() -> None:
    assert list(job_lines([], cells=None)) == []
    lines = list(job_lines([WAITS], cells=100))
    assert lines[1] == "on the cluster · 1 queued"
    assert "7_1 · pending (Priority)" in lines[-1]


def test_a_run_that_waits_on_a_cluster_says_why_in_its_heading() -> None:
    assert "job 7_1 · pending (Priority)" in run_heading(WAITS, 120).plain
    assert "job" not in run_heading(msgspec.structs.replace(WAITS, has_job=False), 120).plain


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("PartitionTimeLimit", "will never start: it requests more time than its partition allows"),
        (
            "ReqNodeNotAvail, UnavailableNodes:n[1-3]",
            "the requested nodes are down or reserved",
        ),
        (
            "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority",
            "the required nodes are down, drained or reserved",
        ),
    ],
)
def test_what_keeps_jobs_from_starting_is_told_once_below_them(reason: str, words: str) -> None:
    stuck = msgspec.structs.replace(WAITS, job_reason=reason)
    assert reason_in_words(stuck) == words
    lines = list(job_lines([stuck, stuck, WAITS], cells=None))
    assert [line for line in lines if words in line] == [f"  {reason.partition(',')[0]}: {words}"]
    narrow = list(job_lines([stuck], cells=80))
    assert stuck.run_id in narrow[4], "however long the reason is"
    assert stuck.job is not None
    assert stuck.job in narrow[4]
    assert len(narrow[4]) <= 80
    assert reason_in_words(msgspec.structs.replace(stuck, status="stopped")) is None
    assert reason_in_words(WAITS) is None
