"""The queue on its screen."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from engine.protocol import resolve_spec
from engine.protocol.phases import Phase
from tests.vld_tui.dashboard.fake_history import (
    FakeActions,
    FakeSource,
    make_run,
    play,
    screen_lines,
    settle,
)
from vld_tui.dashboard.app import Dashboard
from vld_tui.dashboard.feed import QueueState
from vld_tui.study.queue_times import QueueTime
from vld_tui.views.queue import queue_rows

GOING_ON = make_run(0, status="running", step=50, seconds_left=60.0, gpu="1")
WAITING = (
    make_run(1, status="queued", queue_position=1.0),
    make_run(2, status="queued", queue_position=2.0, is_held=True),
    make_run(3, status="queued", queue_position=3.0, name="[b]odd\x1b[2J"),
)


def full() -> FakeSource:
    source = FakeSource([GOING_ON, *WAITING])
    times = {WAITING[0].run_id: QueueTime(60.0, 2400.0)}
    source.queue = QueueState((GOING_ON,), WAITING, ("0", "1"), times=times)
    return source


def test_a_run_in_the_queue_shows_its_phase() -> None:
    timing = Phase("timing_precisions", 3, 4)
    evaluating = Phase("evaluating", 100, 840, "noto")
    live = (
        make_run(0, status="running", step=0, phase=timing),
        make_run(1, status="running", step=50, seconds_left=60.0, phase=evaluating),
    )
    cells = [row[-3] for row in queue_rows(live, (), {})]
    assert cells == [
        "timing precisions 3/4 (first run only)", "50/200 1m 00s left · evaluating 11%"
    ]  # fmt: skip


@pytest.mark.parametrize(("cells", "shown"), [(80, False), (120, True)])
def test_a_column_without_room_is_left_out(cells: int, shown: bool) -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("3")
        await settle(pilot)
        lines = screen_lines(app)
        assert any(GOING_ON.run_id in line for line in lines) == shown
        assert any("starts in 1m 00s · takes 40m" in line for line in lines)
        assert all("…" not in line for line in lines[1:6])

    play(full(), scenario, size=(cells, 24))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_what_goes_on_and_what_waits_is_shown_in_order(size: tuple[int, int]) -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("3")
        await settle(pilot)
        lines = screen_lines(app)
        assert "2 slots · 1 running · 3 queued · 1 held" in lines[0]
        rows = [line.split() for line in lines[2:6]]
        fields = ["0.9", "0"] if size[0] == 120 else []
        assert rows[0][: 4 + len(fields)] == ["●", "run", "0", str(GOING_ON.target), *fields]
        assert "1m" in " ".join(rows[0])
        assert rows[1][:5] == ["◌", "1", "run", "1", str(GOING_ON.target)]
        assert "queued · starts in 1m 00s · takes 40m" in " ".join(rows[1])
        assert "held" in rows[2]
        assert rows[3][2].startswith("[b]odd␛[2")
        await pilot.press("escape")
        await settle(pilot)
        assert any("newest first" in line or "age ▴" in line for line in screen_lines(app))

    play(full(), scenario, size=size)


def test_keys_move_hold_and_stop_the_run_under_the_cursor() -> None:
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("3")
        await settle(pilot)
        await pilot.press("<")  # it is already running: nothing to move
        await settle(pilot)
        assert actions.done == []
        await pilot.press("down", "down", "<")
        await settle(pilot)
        await pilot.press(">", "p", "down", "p", "S", "+", "-")
        await settle(pilot)

    play(full(), scenario, actions=actions)
    second, third = WAITING[1].run_id, WAITING[2].run_id
    assert sorted(actions.done, key=str) == sorted(
        [("move", second, -1), ("move", second, 1), ("release", second), ("hold", third),
         ("interrupt", third), ("slots", 3), ("slots", 1)], key=str,
    )  # fmt: skip


def test_the_cursor_stays_on_its_run_when_the_order_changes() -> None:
    source, actions = full(), FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("3")
        await settle(pilot)
        await pilot.press("down")
        source.queue = QueueState((GOING_ON,), (WAITING[2], WAITING[1], WAITING[0]), ("0",))
        await pilot.pause(1.2)
        await settle(pilot)
        await pilot.press("S")
        await settle(pilot)

    play(source, scenario, actions=actions)
    assert actions.done == [("interrupt", WAITING[0].run_id)]


def test_an_empty_queue_says_how_to_fill_it() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("3")
        await settle(pilot)
        assert any("No running or queued runs" in line for line in screen_lines(app))
        await pilot.press("S", "<", "p", "enter", "3")
        await settle(pilot)
        assert any("newest first" in line or "age ▴" in line for line in screen_lines(app))

    play(FakeSource([make_run(0)]), scenario, size=(80, 24))


def test_a_run_is_opened_from_the_queue_and_left_to_it() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("3")
        await settle(pilot)
        await pilot.press("enter")
        await settle(pilot)
        assert "run 0  250101-000000-aaaa" in screen_lines(app)[0]
        await pilot.press("escape")
        await settle(pilot)
        assert "slots" in screen_lines(app)[0]

    play(full(), scenario)


def test_queue_and_studies_are_a_key_apart() -> None:
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        for key, title in (("3", "queue"), ("4", "studies"), ("3", "queue")):
            await pilot.press(key)
            await settle(pilot)
            assert screen_lines(app)[0].startswith(f" {title}")
        await pilot.press("escape")
        await settle(pilot)
        assert app.screen is app.home

    play(full(), scenario, actions=actions)
    assert actions.done == []


def test_the_form_queues_and_a_run_that_is_over_waits_again() -> None:
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("c")
        await settle(pilot)  # the form is there
        await pilot.press("ctrl+l")
        await settle(pilot)
        await pilot.press("Q")
        await settle(pilot)

    run = make_run(0, status="stopped", spec=resolve_spec({"dataset": "objects-drawn"}))
    play(FakeSource([run]), scenario, actions=actions)
    assert actions.done == [("queue", run.spec, "run 0-2"), ("queue again", run.run_id)]


def test_what_a_cluster_was_given_is_shown_with_its_jobs_and_held_there() -> None:
    job = {"job": "7_0", "has_job": True, "job_node": "node3"}
    runs = make_run(4, status="running", step=50, job_state="RUNNING", **job)
    waits = make_run(
        5, status="queued", job="7_1", has_job=True, job_state="PENDING", job_reason="Priority"
    )
    source, actions = FakeSource([runs, waits]), FakeActions()
    source.queue = QueueState(slots=("0",), on_cluster=(runs, waits))

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("3")
        await settle(pilot)
        lines = screen_lines(app)
        assert "0 running · 0 queued · 2 on the cluster" in lines[0]
        rows = [line for line in lines if "250101" in line]
        assert "50/200 · job 7_0" in rows[0]
        assert "node3" in rows[0]
        assert "7_1 · pending (Priority)" in rows[1]
        await pilot.press("p")  # it is already running: nothing to hold
        await pilot.press("down", "p")
        await settle(pilot)

    play(source, scenario, actions=actions)
    assert actions.done == [("hold", waits.run_id)]
