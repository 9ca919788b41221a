"""Every screen as text, at the smallest size that everything works at and at a usual one.

After a change that is meant: ``pytest tests/vld_tui/dashboard/test_every_screen.py
--snapshot-update``, and look at the difference.
"""

from __future__ import annotations

import pytest
from syrupy.assertion import SnapshotAssertion
from textual.pilot import Pilot

from engine.protocol import resolve_spec
from tests.vld_tui.dashboard.fake_history import FakeSource, make_run, play, screen_lines, settle
from tests.vld_tui.dashboard.run_facts import full_detail
from vld_tui.dashboard.app import Dashboard
from vld_tui.dashboard.feed import QueueState
from vld_tui.dashboard.preferences import Preferences
from vld_tui.dashboard.screens.run import PANES
from vld_tui.dashboard.widgets.run_table import HEADING_ROWS, RunTable

SIZES = ((80, 24), (120, 40))
SCREENS: dict[str, tuple[str, ...]] = {
    "runs": (),
    "marked runs": ("space", "space"),
    "plane": ("2",),
    "compare": ("space", "space", "space", "d"),
    "queue": ("3",),
    "settings": ("comma",),
    "columns": ("C",),
    "filter": ("f", "s", "e", "e", "d"),
    "kill": ("K",),
    "help": ("question_mark",),
}
"""The keys that lead to each screen."""


def history() -> FakeSource:
    """Return runs of every kind."""
    erm = resolve_spec({"dataset": "emoji", "dropout_rate": 0.0, "seed": 1})
    source = FakeSource(
        [
            make_run(0, name="going-on", status="running", step=80, seconds_left=95.0),
            make_run(1, name="dropout-s1", tags=("best", "trial")),
            make_run(2, name="erm-s1", spec=erm),
            make_run(3, name="fell-over", status="crashed", error="killed (signal 9)"),
            make_run(4, name="one-class", collapsed=True, ood_accuracy=0.1),
            make_run(5, name="名前が長い走行", status="stopped", note="a\tb"),
            make_run(6, name="waits", status="queued", queue_position=1.0,
                     id_accuracy=None, ood_accuracy=None, selected_step=None, step=0),
        ]
    )  # fmt: skip
    source.queue = QueueState((source.runs[0],), (source.runs[6],), ("0", None))
    return source


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("screen", SCREENS)
def test_a_screen_looks_as_it_did(
    screen: str, size: tuple[int, int], snapshot: SnapshotAssertion
) -> None:
    shown: list[str] = []

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        for key in SCREENS[screen]:
            await pilot.press(key)
        await settle(pilot)
        shown.extend(line.rstrip() for line in screen_lines(app))

    play(history(), scenario, size=size)
    assert "\n".join(shown) == snapshot


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize(
    "tab", ["curves", "domains", "configuration", "samples", "log", "files", "evaluations"]
)
def test_a_run_looks_as_it_did(
    tab: str, size: tuple[int, int], snapshot: SnapshotAssertion
) -> None:
    shown: list[str] = []
    source = FakeSource([make_run(3, name="fell-over", status="crashed", error="killed\nmore")])
    source.detail = full_detail()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        await settle(pilot)
        await pilot.press(str([*PANES].index(tab) + 1))
        await settle(pilot)
        shown.extend(line.rstrip() for line in screen_lines(app))

    play(source, scenario, size=size)
    assert "\n".join(shown) == snapshot


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_groups_look_as_they_did(size: tuple[int, int], snapshot: SnapshotAssertion) -> None:
    shown: list[str] = []

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        shown.extend(line.rstrip() for line in screen_lines(app))

    play(history(), scenario, size=size, preferences=Preferences(group="configuration"))
    assert "\n".join(shown) == snapshot


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_an_empty_home_looks_as_it_did(size: tuple[int, int], snapshot: SnapshotAssertion) -> None:
    shown: list[str] = []

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        shown.extend(line.rstrip() for line in screen_lines(app))

    play(FakeSource([]), scenario, size=size)
    assert "\n".join(shown) == snapshot


def test_every_picture_is_drawn_without_colour_and_the_cursor_can_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
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
