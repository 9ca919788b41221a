"""The list of the trash."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event

import pytest
from textual.pilot import Pilot

from tests.vld_tui.dashboard.fake_history import (
    NOW,
    FakeActions,
    FakeSource,
    make_run,
    play,
    screen_lines,
    settle,
    settle_until,
)
from vld_tui.control.trash import TrashedRun
from vld_tui.dashboard.app import Dashboard


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
def test_the_trash_is_listed_restored_and_deleted(size: tuple[int, int]) -> None:
    actions = FakeActions()
    actions.trashed = [
        TrashedRun(make_run(at, name=f"[b]old {at}[/b]", trashed_at=NOW - at)) for at in range(4)
    ]

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("Z")
        await settle(pilot)
        lines = screen_lines(app)
        assert lines[0].strip() == "trash  4 runs · 12.0 MiB"
        assert "[b]old 0[/b]" in lines[2]
        assert "3.0 MiB" in lines[2]
        await pilot.press("down", "r")
        await settle(pilot)
        await pilot.press("space", "space", "ctrl+d")
        await settle(pilot)
        assert "Permanently delete 2 runs (6.0 MiB)?" in "\n".join(screen_lines(app))
        await pilot.press("n", "ctrl+d", "y")
        await settle(pilot)
        assert screen_lines(app)[0].strip() == "trash  2 runs · 6.0 MiB"
        await pilot.press("X", "y")
        await settle(pilot)
        assert "The trash is empty." in "\n".join(screen_lines(app))
        await pilot.press("escape")
        assert app.screen is app.home

    play(FakeSource([make_run(0)]), scenario, actions=actions, size=size)
    ids = [f"250101-{at:06d}-aaaa" for at in range(4)]
    assert actions.done == [
        ("restore", ids[1]),
        ("delete", *ids[1:3]),
        ("delete", ids[0], ids[3]),
    ]


def test_a_refusal_is_reported_after_the_trash_was_left() -> None:
    go = Event()

    class Slow(FakeActions):
        """Refuses only when it may."""

        def restore(self, run_ids: Sequence[str]) -> str:
            assert go.wait(10)
            return super().restore(run_ids)

    actions = Slow()
    actions.trashed = [TrashedRun(make_run(0, trashed_at=NOW))]
    actions.refusal = "no room"

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("Z")
        await settle(pilot)
        await pilot.press("r", "escape")
        await settle(pilot)
        go.set()
        await settle_until(pilot, lambda: app._notifications)
        assert [each.message for each in app._notifications] == ["no room"]

    play(FakeSource([make_run(0)]), scenario, actions=actions)
