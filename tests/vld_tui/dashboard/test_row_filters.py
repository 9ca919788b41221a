"""Lists other than that of runs are filtered while the filter is typed."""

from __future__ import annotations

from collections.abc import Callable

from textual.pilot import Pilot
from textual.widgets import DataTable

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
from tests.vld_tui.dashboard.run_facts import full_detail
from vld_tui.control.trash import TrashedRun
from vld_tui.dashboard.app import Dashboard
from vld_tui.dashboard.feed import QueueState
from vld_tui.study.results.state import Counts, StudyProgress


def shows(app: Dashboard, text: str) -> Callable[[], bool]:
    """Return the condition that the screen shows a text."""
    return lambda: text in "\n".join(screen_lines(app))


def test_the_queue_is_filtered_and_keys_act_on_the_run_that_is_shown() -> None:
    waiting = tuple(
        make_run(at, status="queued", queue_position=float(at), is_held=at == 2) for at in (1, 2, 3)
    )
    running = make_run(0, status="running", step=50)
    source, actions = FakeSource([running, *waiting]), FakeActions()
    source.queue = QueueState((running,), waiting, ("0",))

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("3")
        await settle(pilot)
        table = app.screen.query_one("#queue", DataTable)
        await pilot.press("slash", *"status=queued seed>1")
        await settle_until(pilot, shows(app, "2 of 4"))
        assert table.row_count == 2
        await pilot.press(*" (")
        await settle_until(pilot, shows(app, "Missing term after '('"))
        assert table.row_count == 2, "an invalid filter changes nothing"
        await pilot.press("backspace", "backspace", "enter")
        await settle_until(pilot, shows(app, "filter status=queued seed>1 · 2 of 4"))
        await pilot.press("down", "S")
        await settle(pilot)
        await pilot.press("slash", *" held", "escape")
        await settle_until(pilot, shows(app, "filter status=queued seed>1 · 2 of 4"))
        await pilot.press("escape")
        await settle_until(pilot, lambda: table.row_count == 4)
        assert shows(app, " queue  1 slot")()
        await pilot.press("escape")
        assert app.screen is app.home

    play(source, scenario, actions=actions)
    assert actions.done == [("interrupt", waiting[2].run_id)]


def test_the_trash_is_filtered() -> None:
    actions = FakeActions()
    actions.trashed = [
        TrashedRun(make_run(at, name=f"[b]old {at}", trashed_at=NOW - at)) for at in range(4)
    ]

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("Z")
        await settle(pilot)
        await pilot.press("f", *'"[b]old 2"', "tab", "enter")
        await settle_until(pilot, shows(app, 'old 2" · 1 of 4'))
        await pilot.press("r")
        await settle(pilot)
        await pilot.press("escape", "escape")
        assert app.screen is app.home

    play(FakeSource([make_run(0)]), scenario, actions=actions)
    assert actions.done == [("restore", actions.trashed[2].run.run_id)]


def test_studies_and_presets_are_filtered_by_name_and_state() -> None:
    source = FakeSource([make_run(0)])
    source.studies = (
        StudyProgress("a", "", Counts(3, 0, 0, 0, 0, 0)),
        StudyProgress("b", "", Counts(2, 0, 0, 1, 0, 0)),
    )

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("4")
        await settle_until(pilot, shows(app, "paper-fig3-small"))
        await pilot.press("slash", *"state:failed")
        await settle_until(pilot, lambda: not shows(app, "paper-fig3-small")())
        assert shows(app, " 1 of ")()
        assert not shows(app, "presets (")()
        await pilot.press("ctrl+u", *"fig3", "enter")
        await settle_until(pilot, shows(app, "paper-fig3-small"))
        assert shows(app, "filter fig3 · ")()
        await pilot.press("escape")
        await settle_until(pilot, shows(app, " b "))
        await pilot.press("escape")
        assert app.screen is app.home

    play(source, scenario)


def test_the_files_of_a_run_are_filtered() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        await settle(pilot)
        await pilot.press("6")
        await settle_until(pilot, shows(app, "total"))
        await pilot.press("slash", *"file:checkpoints")
        await settle_until(pilot, shows(app, " of "))
        await settle_until(pilot, lambda: not shows(app, "engine.log")())
        await pilot.press("enter")
        await settle_until(pilot, shows(app, "filter file:checkpoints · "))
        await pilot.press("escape")
        await settle_until(pilot, shows(app, "engine.log"))
        await pilot.press("escape")
        assert app.screen is app.home

    source = FakeSource([make_run(0)])
    source.detail = full_detail()
    play(source, scenario)
