"""Less output for slow lines: of what is drawn again, only the cells that changed are sent.

Textual sends the whole of a widget that is drawn again, such as a chart or a line of a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.control import Control
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.strip import Strip

Cell = tuple[str, Style | None] | None
"""A character and its style; None: unknown."""
Piece = tuple[int, int, Strip]
"""Column, line and content of neighbouring cells."""
MOST_BETWEEN: Final = 10
"""Unchanged cells between two changed ones that are cheaper to send than to skip."""


class ChangedCells:
    """Remembers what the terminal shows, and leaves it out of updates."""

    def __init__(self) -> None:
        self._whole: list[list[Strip]] = []
        self._lines: dict[int, list[Cell]] = {}

    def of(self, update: CompositorUpdate) -> CompositorUpdate:
        """Return an update that sends only changed cells; a full one is sent as it is."""
        match update:
            case ChopsUpdate():
                return Pieces([*self._changed(update)])
            case LayoutUpdate(region=region) if region.offset == (0, 0):
                self._whole = [[*line] for line in update.strips]
                update.strips = [*self._whole]
            case _:
                self._whole = []
        self._lines = {}
        return update

    def _changed(self, update: ChopsUpdate) -> Iterator[Piece]:
        for y, left, right in update.spans:
            line = self._line(y)
            for end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
                if strip is not None and x <= right and end > left:
                    yield from _difference(line, x, y, strip)

    def _line(self, y: int) -> list[Cell]:
        if y not in self._lines:
            strips = self._whole[y] if y < len(self._whole) else []
            self._lines[y] = [cell for strip in strips for cell in _cells(strip)]
        return self._lines[y]


class Pieces(CompositorUpdate):
    """An update of some cells."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = pieces

    def render_segments(self, console: Console) -> str:
        """Return what to write to the terminal."""
        return "".join(
            text
            for x, y, strip in self._pieces
            for text in (Control.move_to(x, y).segment.text, strip.render(console))
        )


def _difference(line: list[Cell], x: int, y: int, strip: Strip) -> Iterator[Piece]:
    """Yield the changed parts of a strip at ``x``, and change the line's cells."""
    cells = _cells(strip)
    line.extend([None] * (x + len(cells) - len(line)))
    before, line[x : x + len(cells)] = line[x : x + len(cells)], cells
    if None in cells:
        yield x, y, strip
        return
    changed = [at for at, cell in enumerate(cells) if cell != before[at]]
    for start, end in _runs(changed):
        yield x + start, y, strip.crop(start, end)


def _cells(strip: Strip) -> list[Cell]:
    """Return a strip's cells; unknown if not every character takes one cell."""
    if any(each.control or cell_len(each.text) != len(each.text) for each in strip):
        return [None] * strip.cell_length
    return [(character, each.style) for each in strip for character in each.text]


def _runs(places: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield start and end of the runs of ascending places, joining those that are close."""
    start = end = -1
    for at in places:
        if end >= 0 and at > end + MOST_BETWEEN:
            yield start, end
            start = at
        elif end < 0:
            start = at
        end = at + 1
    if end >= 0:
        yield start, end
