"""Every screen as text, at the smallest size that everything works at, a usual and a large one;
and its colours, on terminals and in themes of each kind.

After a change that is meant: ``pytest tests/vld_tui/dashboard/test_every_screen.py
--snapshot-update``, and look at the difference.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from rich.color import Color, ColorSystem
from rich.style import Style
from syrupy.assertion import SnapshotAssertion
from textual.pilot import Pilot
from textual.strip import Strip

from engine.protocol import resolve_spec
from tests.made_diagnoses import make_diagnoses
from tests.vld_tui.dashboard.fake_history import (
    FakeSource,
    make_run,
    play,
    screen_lines,
    screen_strips,
    settle,
)
from tests.vld_tui.dashboard.run_facts import FULL, full_detail
from vld_tui.dashboard.app import Dashboard
from vld_tui.dashboard.feed import QueueState
from vld_tui.dashboard.preferences import Preferences
from vld_tui.dashboard.screens.run import PANE_KEYS
from vld_tui.dashboard.widgets.run_table import HEADING_ROWS, RunTable

SIZES = ((80, 24), (120, 40))
LARGE = (200, 50)
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
TABS = ("curves", "domains", "configuration", "samples", "log", "files", "evaluations",
        "shift", "representation")  # fmt: skip
RUN_SCREENS = {tab: ("enter", PANE_KEYS[tab]) for tab in TABS}


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


def crashed_run() -> FakeSource:
    """Return a run with results on every tab."""
    source = FakeSource([make_run(3, name="fell-over", status="crashed", error="killed\nmore")])
    source.detail = full_detail(replace(FULL, diagnoses=make_diagnoses()))
    return source


def visit(size: tuple[int, int], preferences: Preferences | None = None) -> dict[str, list[Strip]]:
    """Return the lines of every screen, visited one after another in one dashboard."""
    seen: dict[str, list[Strip]] = {}
    source = history()
    source.detail = full_detail()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        for name, keys in SCREENS.items():
            await pilot.press(*keys)
            await settle(pilot)
            seen[name] = screen_strips(app)
            await pilot.press("escape", "escape", "1", "g")
        await pilot.press("j", "j", "j")
        for tab in TABS:
            await pilot.press(*RUN_SCREENS[tab][len(seen) > len(SCREENS) :])
            await settle(pilot)
            seen[tab] = screen_strips(app)

    play(source, scenario, size=size, preferences=preferences)
    return seen


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
@pytest.mark.parametrize("tab", TABS)
def test_a_run_looks_as_it_did(
    tab: str, size: tuple[int, int], snapshot: SnapshotAssertion
) -> None:
    shown: list[str] = []

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        for key in RUN_SCREENS[tab]:
            await pilot.press(key)
            await settle(pilot)
        shown.extend(line.rstrip() for line in screen_lines(app))

    play(crashed_run(), scenario, size=size)
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


def test_every_screen_of_a_large_terminal_looks_as_it_did(snapshot: SnapshotAssertion) -> None:
    for name, strips in visit(LARGE).items():
        text = "\n".join(strip.text.rstrip() for strip in strips)
        assert text == snapshot(name=name), name


@pytest.mark.parametrize("look", ["dark", "light", "without colour"])
def test_every_screen_has_the_colours_it_had(
    look: str, snapshot: SnapshotAssertion, monkeypatch: pytest.MonkeyPatch
) -> None:
    preferences = Preferences(theme="textual-light") if look == "light" else None
    if look == "without colour":
        monkeypatch.setenv("NO_COLOR", "1")
    for name, strips in visit(SIZES[0], preferences).items():
        assert "\n".join(styles_of(strips)) == snapshot(name=name), name


def styles_of(strips: Sequence[Strip]) -> Iterator[str]:
    """Yield each style of a screen in all colours, 256 and 16, with its lines."""
    lines: dict[str, list[int]] = defaultdict(list)
    for number, strip in enumerate(strips):
        for text, style, _ in strip:
            if style is not None:
                said = style_text(style if text.strip() else style.background_style)
                if number not in lines[said][-1:]:
                    lines[said].append(number)
    for said in sorted(lines):
        yield f"{said}: {' '.join(ranges(lines[said]))}"


def ranges(numbers: Sequence[int]) -> Iterator[str]:
    """Yield ascending numbers as ``3`` or ``5-8``."""
    for _, group in itertools.groupby(enumerate(numbers), lambda each: each[1] - each[0]):
        first, *others = [number for _, number in group]
        yield f"{first}-{others[-1]}" if others else f"{first}"


def style_text(style: Style) -> str:
    """Return colours as ``#rrggbb/256/16``, and attributes."""
    attributes = ("bold", "dim", "italic", "underline", "reverse", "strike")
    front, back = style.color, style.bgcolor
    said = [colour_text(front), "on", colour_text(back)]
    return " ".join([*said, *(each for each in attributes if getattr(style, each))])


def colour_text(colour: Color | None) -> str:
    """Return a colour as terminals of each kind show it."""
    if colour is None or colour.is_default:
        return "default"
    kinds = (ColorSystem.EIGHT_BIT, ColorSystem.STANDARD)
    numbers = (str(colour.downgrade(kind).number) for kind in kinds)
    return "/".join([colour.get_truecolor().hex, *numbers])
