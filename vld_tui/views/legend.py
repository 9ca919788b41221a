"""The legend of a chart: names and values of its curves, in as many lines as are free."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rich.segment import Segment
from rich.style import Style

from vld_tui.words.columns import GAP
from vld_tui.words.text import shorten, shorten_apart, width

Line = list[Segment]
SHORTEST_NAME: Final = 5
_QUIET: Final = Style(dim=True)


@dataclass(frozen=True)
class Entry:
    """One curve: its mark, its value and its name in its style; ``details`` are left out first."""

    sign: str
    value: str
    name: str
    style: Style
    details: str = ""


def legend_lines(
    head: Line, entries: Sequence[Entry], tail: Line, cells: int, most_lines: int
) -> list[Line]:
    """Return the legend in at most ``most_lines`` lines of ``cells``.

    If it does not fit, in this order: details are left out, names are shortened so that they stay
    distinguishable, ``tail`` is left out, then values, then names instead, then entries, which are
    counted.
    """
    layouts = (_flow([head, *pieces], cells) for pieces in _alternatives(entries, tail))
    for lines in layouts:
        if len(lines) <= most_lines:
            return lines
    return _counted(head, [_piece(each, "") for each in entries], cells, most_lines)


def line_width(line: Line) -> int:
    """Return how many cells a line takes."""
    return sum(segment.cell_length for segment in line)


def _alternatives(entries: Sequence[Entry], tail: Line) -> Iterator[list[Line]]:
    """Yield what may follow the head, the most complete first."""
    names = [each.name for each in entries]
    longest = max(map(width, names), default=0)
    endings = [[tail], []] if tail else [[]]
    if any(each.details for each in entries):
        detailed = [_piece(each, each.name, each.details) for each in entries]
        yield [*detailed, *endings[0]]
    for ending in endings:
        yield [*(_piece(each, each.name) for each in entries), *ending]
        shortest = SHORTEST_NAME if ending == endings[-1] else 2 * SHORTEST_NAME
        for short in _shortened(names, longest - 1, shortest):
            shown = zip(entries, short, strict=True)
            yield [*(_piece(each, name) for each, name in shown), *ending]
    if len(entries) > 1:  # a value says nothing without its name
        for short in _shortened(names, longest, SHORTEST_NAME):
            shown = zip(entries, short, strict=True)
            yield [_piece(replace(each, value=""), name) for each, name in shown]
    yield [_piece(each, "") for each in entries]


def _shortened(names: Sequence[str], longest: int, shortest: int) -> Iterator[list[str]]:
    """Yield names in fewer and fewer cells, as long as they stay distinguishable."""
    for cells in range(longest, shortest - 1, -1):
        short = shorten_apart(names, cells)
        if len({*short}) == len({*names}):
            yield short


def _piece(entry: Entry, name: str, details: str = "") -> Line:
    words = " ".join(filter(None, (entry.sign, entry.value, name)))
    line = [Segment(words, entry.style)]
    return [*line, Segment(f" {details}", _QUIET)] if details else line


def _flow(pieces: Sequence[Line], cells: int) -> list[Line]:
    """Return pieces in lines, each piece in one; one that is too long for a line is cut."""
    lines: list[Line] = []
    for piece in pieces:
        fitted = piece if line_width(piece) < cells else _cut(piece, cells - 1)
        if lines and line_width(lines[-1]) + len(GAP) + line_width(fitted) <= cells:
            lines[-1] += [Segment(GAP), *fitted]
        else:
            lines.append([Segment(" "), *fitted] if lines else [*fitted])
    return lines


def _cut(piece: Line, cells: int) -> Line:
    cut: Line = []
    for text, style, _ in piece:
        left = cells - line_width(cut)
        if left > 0:
            cut.append(Segment(shorten(text, left), style))
    return cut


def _counted(head: Line, pieces: Sequence[Line], cells: int, most_lines: int) -> list[Line]:
    """Return as many pieces as fit and the number of the others."""
    for shown in range(len(pieces) - 1, -1, -1):
        rest = [Segment(f"+{len(pieces) - shown} more", _QUIET)]
        lines = _flow([head, *pieces[:shown], rest], cells)
        if len(lines) <= most_lines:
            return lines
    return _flow([head], cells)
