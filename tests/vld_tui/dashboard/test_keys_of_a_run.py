"""The line of keys offers what can be done with the run under the cursor, or the open one."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot
from textual.widgets._footer import FooterKey

from tests.vld_tui.dashboard.fake_history import FakeActions, FakeSource, make_run, play, settle
from vld_tui.dashboard.app import Dashboard

ON_RUNS = {"resume", "stop", "kill", "queue run", "use"}
OFFERED = {
    "finished": {"use"},
    "running": {"stop", "kill", "use"},
    "stopped": {"resume", "queue run", "use"},
    "queued": {"stop", "kill", "use"},
    "damaged": {"stop", "kill", "use"},
    "gone": set[str](),
}


def offered(app: Dashboard) -> set[str]:
    return {each.description for each in app.screen.query(FooterKey)} & ON_RUNS


@pytest.mark.parametrize("status", OFFERED)
def test_keys_follow_the_status(status: str) -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("down")
        await settle(pilot)
        assert offered(app) == OFFERED[status]
        await pilot.press("up")
        await settle(pilot)
        assert offered(app) == {"stop", "kill", "use"}
        await pilot.press("down", "enter")
        await settle(pilot)
        assert offered(app) == OFFERED[status]

    play(
        FakeSource([make_run(0, status="running"), make_run(1, status=status)]),
        scenario,
        size=(300, 40),
    )


def test_keys_that_are_left_out_still_explain_why() -> None:
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        assert "resume" not in offered(app)
        await pilot.press("r")
        await settle(pilot)

    play(FakeSource([make_run(0)]), scenario, actions=actions)
    assert actions.done == [("resume", "250101-000000-aaaa")]
