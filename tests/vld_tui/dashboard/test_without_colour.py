"""The dashboard with ``NO_COLOR``."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from tests.vld_tui.dashboard.fake_history import FakeSource, make_run, play, settle
from vld_tui.dashboard.app import Dashboard
from vld_tui.dashboard.widgets.run_table import HEADING_ROWS, RunTable


def test_every_picture_is_drawn_and_the_cursor_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        assert app.no_color
        await settle(pilot)
        table = app.screen.query_one(RunTable)
        cursor = table.render_lines(table.size.region)[HEADING_ROWS]
        shades = [
            each.style.color.get_truecolor().red
            for each in cursor
            if each.style and each.style.color and each.text.strip()
        ]
        assert min(shades) > 150, "light text on the cursor's dark grey, whatever the status"
        for key in ("2", "1", "i", "4", "escape", "3", "escape"):
            await pilot.press(key)
            await settle(pilot)

    play(FakeSource([make_run(i) for i in range(3)]), scenario)
