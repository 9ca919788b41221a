"""The dashboard tells the terminal of runs that end, as a person set it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.drivers.headless_driver import HeadlessDriver
from textual.pilot import Pilot

from tests.vld_tui.dashboard.fake_history import FakeSource, make_run, play
from vld_tui.dashboard.app import Dashboard
from vld_tui.dashboard.feed import Interest, Snapshot
from vld_tui.dashboard.notices import Notice, notice_for
from vld_tui.dashboard.preferences import Preferences


@pytest.mark.parametrize("kind", ["off", "bell", "desktop"])
def test_runs_that_end_are_told(kind: Notice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    written: list[str] = []
    monkeypatch.setattr(HeadlessDriver, "write", lambda _, data: written.append(data))
    ended = (make_run(1), make_run(2, status="failed"))

    class EndingSource(FakeSource):
        """Says that two runs ended, once."""

        def take(self, interest: Interest) -> Snapshot:
            snapshot = super().take(interest)
            return replace(snapshot, ended=ended if len(self.asked) == 2 else ())

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        app._wake.set()
        await pilot.pause(0.2)

    play(EndingSource([make_run(0)]), scenario, preferences=Preferences(notice=kind))
    told = "".join(data for data in written if "\a" in data and not data.startswith("\x1b]22;"))
    expected = [notice_for(run.name, run.status, kind) for run in ended]
    assert told == ("\a" if kind == "bell" else "".join(expected))
