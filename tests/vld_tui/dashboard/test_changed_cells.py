"""The terminal shows the same although only changed cells are sent."""

from __future__ import annotations

import random
import re

from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip

from vld_tui.dashboard.changed_cells import ChangedCells

WIDTH, HEIGHT, MIDDLE = 60, 3, 20
STYLES = [None, Style(color="red"), Style(bold=True)]
MOVE_OR_STYLE = re.compile(r"\x1b\[(\d+);(\d+)H|\x1b\[([\d;]*)m|([^\x1b])")


def paint(screen: dict[tuple[int, int], tuple[str, str]], sent: str) -> None:
    """Apply output to a screen of characters and their styles."""
    x = y = 0
    style = ""
    for line, column, styled, character in MOVE_OR_STYLE.findall(sent):
        if line:
            x, y = int(column) - 1, int(line) - 1
        elif character and character != "\n":
            screen[x, y] = (character, style)
            x += 1
        elif not character:
            style = "" if styled == "0" else styled


def some_strip(chance: random.Random, cells: int) -> Strip:
    segments, left = [], cells
    while left:
        length = chance.randint(1, left)
        segments.append(Segment(chance.choice("ab⣿") * length, chance.choice(STYLES)))
        left -= length
    return Strip(segments, cells)


def a_full(lines: list[list[Strip]]) -> LayoutUpdate:
    return LayoutUpdate([[*line] for line in lines], Region(0, 0, WIDTH, HEIGHT))


def a_part(lines: list[list[Strip]], which: list[int]) -> ChopsUpdate:
    """Return an update of whole lines, in two parts each."""
    chops = [dict(zip((0, MIDDLE), line, strict=True)) for line in lines]
    spans = [(y, 0, WIDTH) for y in which]
    return ChopsUpdate(chops, spans, [[MIDDLE, WIDTH]] * HEIGHT)


def test_the_terminal_shows_what_whole_updates_would_show() -> None:
    console = Console(force_terminal=True, color_system="truecolor")
    chance, cells = random.Random(0), ChangedCells()
    seen: dict[tuple[int, int], tuple[str, str]] = {}
    wanted: dict[tuple[int, int], tuple[str, str]] = {}
    lines: list[list[Strip]] = []
    for turn in range(60):
        update: CompositorUpdate
        if turn % 20 == 0:
            lines = [
                [some_strip(chance, MIDDLE), some_strip(chance, WIDTH - MIDDLE)]
                for _ in range(HEIGHT)
            ]
            update = a_full(lines)
        else:
            which = sorted(chance.sample(range(HEIGHT), 2))
            for y in which:
                lines[y] = [some_strip(chance, MIDDLE), lines[y][1]]
            update = a_part(lines, which)
        paint(wanted, update.render_segments(console))
        paint(seen, cells.of(update).render_segments(console))
        assert seen == wanted


def test_unchanged_cells_are_not_sent() -> None:
    console = Console(force_terminal=True, color_system="truecolor")
    cells = ChangedCells()
    lines = [[Strip([Segment("a" * MIDDLE)]), Strip([Segment("b" * (WIDTH - MIDDLE))])]] * HEIGHT
    assert cells.of(a_full(lines)).render_segments(console).count("b") == HEIGHT * (WIDTH - MIDDLE)
    assert cells.of(a_part(lines, [0, 1])).render_segments(console) == ""
    other = [[Strip([Segment("aXaaaY" + "a" * 13 + "Z")]), lines[0][1]], *lines[1:]]
    sent = cells.of(a_part(other, [0, 1])).render_segments(console)
    assert sent == "\x1b[1;2HXaaaY\x1b[1;20HZ"


def test_characters_of_other_widths_and_control_codes_are_sent_as_they_are() -> None:
    console = Console(force_terminal=True, color_system="truecolor")
    cells = ChangedCells()
    wide = [[Strip([Segment("図" * 10)], MIDDLE), Strip([Segment("b" * 40)])]] * HEIGHT
    cells.of(a_full(wide))
    assert cells.of(a_part(wide, [0])).render_segments(console) == "\x1b[1;1H" + "図" * 10
