"""The default themes: greys on every terminal, and readable text, measured on drawn screens."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from typing import Final

import pytest
from rich.color import Color, ColorSystem
from textual.pilot import Pilot

from tests.vld_tui.dashboard.fake_history import FakeSource, make_run, play, settle
from tests.vld_tui.dashboard.run_facts import full_detail
from tests.vld_tui.words.test_series_looks import contrast
from vld_tui.dashboard.app import Dashboard
from vld_tui.dashboard.preferences import Preferences
from vld_tui.dashboard.themes import SELECTION, THEMES
from vld_tui.views.run_columns import RUN_COLUMNS
from vld_tui.words.palette import DARK_SHADES, LIGHT_SHADES, SERIES_STYLES

KEYS = {
    "runs": ("space",),
    "plane": ("2",),
    "queue": ("3",),
    "studies": ("4",),
    "settings": ("comma",),
    "columns": ("C",),
    "group": ("b",),
    "form": ("n",),
    "kill": ("K",),
    "export": ("w",),
    "help": ("question_mark",),
    "palette": ("ctrl+p",),
    "curves": ("enter", "i"),
    "domains": ("enter", "2"),
    "settings of a run": ("enter", "3"),
    "log": ("enter", "5"),
    "files": ("enter", "6"),
    "timeline": ("enter", "7"),
    "samples": ("enter", "4"),
    "evaluations": ("enter", "8"),
    "shift": ("enter", "9"),
    "representation": ("enter", "R"),
    "compare": ("space", "space", "d"),
}
"""The keys that lead to each screen."""
PICTURE: Final = "▀▄█"
"""What pictures are drawn with: their colours are those of the images."""
STATUSES = ("running", "finished", "stopped", "crashed", "queued", "failed")
GREYS = {16, 59, 102, 145, 188, 231, *range(232, 256)}
"""Greys among the 256 colours."""


def drawn(app: Dashboard) -> Iterator[tuple[str, str, str]]:
    """Yield every drawn text with its colour and its background."""
    for strip in app.screen._compositor.render_strips():
        for text, style, _ in strip:
            if (
                text.strip(PICTURE)
                and style is not None
                and style.color is not None
                and style.bgcolor is not None
            ):
                front, back = style.color.get_truecolor().hex, style.bgcolor.get_truecolor().hex
                yield text, *((back, front) if style.reverse else (front, back))


def least_contrast(text: str) -> float:
    """Return what WCAG AA asks of a text: less of lines and signs; nothing of blanks."""
    kinds = {unicodedata.category(character)[0] for character in text if not character.isspace()}
    if not kinds:
        return 0.0
    return 4.5 if kinds & {"L", "N"} else 3.0


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("screen", KEYS)
def test_backgrounds_are_grey_and_texts_are_readable(screen: str, theme: str) -> None:
    found: set[tuple[str, str, str]] = set()
    source = FakeSource(
        [make_run(at, status=status, error="why") for at, status in enumerate(STATUSES)]
    )
    source.detail = full_detail()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press(*KEYS[screen])
        await settle(pilot)
        found.update(drawn(app))

    preferences = Preferences(theme=theme, columns=tuple(RUN_COLUMNS)[:8])
    play(source, scenario, size=(120, 36), preferences=preferences)
    assert found
    tinted = {
        back
        for _, _, back in found
        if Color.parse(back).downgrade(ColorSystem.EIGHT_BIT).number not in GREYS
    }
    assert not tinted
    low = {
        (text, front, back, round(contrast(front, back), 2))
        for text, front, back in found
        if contrast(front, back) < least_contrast(text)
    }
    assert not low


@pytest.mark.parametrize("shades", [DARK_SHADES, LIGHT_SHADES], ids=["dark", "light"])
def test_the_colours_of_series_differ_in_16_colours(shades: Mapping[str, str]) -> None:
    drawn_as = [
        Color.parse(shades.get(colour, colour)).downgrade(ColorSystem.STANDARD).number
        for colour in SERIES_STYLES
    ]
    assert len({*drawn_as}) == len(drawn_as)


@pytest.mark.parametrize("theme", THEMES)
def test_the_selection_differs_from_surfaces_in_16_colours(theme: str) -> None:
    variables = THEMES[theme].to_color_system().generate() | THEMES[theme].variables
    numbers = {
        name: Color.parse(variables[name]).downgrade(ColorSystem.STANDARD).number
        for name in (SELECTION, "background", "panel")
    }
    assert numbers[SELECTION] not in (numbers["background"], numbers["panel"])
    assert numbers["background"] in (0, 15)


def test_other_themes_have_a_selection_too() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        for name in app.available_themes:
            app.theme = name
            await pilot.pause()
            assert app.get_css_variables()[SELECTION]

    play(FakeSource([make_run(0)]), scenario)
