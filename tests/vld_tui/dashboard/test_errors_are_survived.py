"""An exception inside the dashboard is told and logged; the rest goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot

from tests.vld_tui.dashboard.fake_history import (
    FakeSource,
    make_run,
    play,
    screen_lines,
    settle,
)
from vld_tui.dashboard.app import Dashboard
from vld_tui.dashboard.feed import Interest, Snapshot
from vld_tui.dashboard.guard import ErrorLog
from vld_tui.dashboard.screens.home import HomeScreen
from vld_tui.dashboard.widgets.plane import Plane
from vld_tui.dashboard.widgets.run_table import RunTable


class BrokenNow(FakeSource):
    """A source that can be broken."""

    broken = False

    def take(self, interest: Interest) -> Snapshot:
        if self.broken:
            raise RuntimeError("no [b]history[/b]")
        return super().take(interest)


def boom(*_arguments: object, **_named: object) -> None:
    raise RuntimeError("out of order")


def test_an_action_a_handler_a_picture_and_the_source_may_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = BrokenNow([make_run(i) for i in range(3)])
    log = tmp_path / "dashboard.log"

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(HomeScreen, "action_sort", boom)
            await pilot.press("o")
            patch.setattr(HomeScreen, "on_marks_changed", boom)
            await pilot.press("space")
            patch.setattr(Plane, "lines", boom)
            await pilot.press("2")
            source.broken = True
            await pilot.press("O")
            await settle(pilot)
        source.broken = False
        await pilot.press("1", "escape", "o", "j")
        await settle(pilot)
        assert "OOD ▾" in screen_lines(app)[2]
        assert app.screen.query_one(RunTable).current is not None
        said = [str(each.message) for each in app._notifications]
        assert any("out of order" in each for each in said)
        assert any("no [b]history[/b]" in each for each in said)

    play(source, scenario, error_log=ErrorLog(log))
    text = log.read_text()
    assert "RuntimeError: out of order" in text
    assert "Traceback" in text
    assert text.count("\nRuntimeError: no [b]history[/b]") == 1


def test_a_log_that_cannot_be_written_is_no_further_trouble(tmp_path: Path) -> None:
    log = ErrorLog(tmp_path / "missing" / "dashboard.log")
    assert log.is_new(ValueError("first"))
    assert not log.is_new(ValueError("first"))
    assert log.is_new(ValueError("second"))
