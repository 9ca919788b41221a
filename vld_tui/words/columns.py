"""Aligned columns of text that fit a given width.

Plain strings, so that ten thousand rows are formatted quickly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from vld_tui.words.palette import QUIET_STYLE
from vld_tui.words.text import fit, width

if TYPE_CHECKING:
    from rich.text import Text

GAP = "  "


class Column(NamedTuple):
    """A column: its heading, its alignment, and its rank when width is short.

    Columns of the lowest ``rank`` go first. A column that ``shrinks`` to ``narrowest`` cells
    is cut before any goes. ``style`` is that of the cells below the heading.
    """

    heading: str
    right: bool = False
    rank: int = 100
    shrinks: bool = False
    narrowest: int = 12
    style: str = ""


class Layout(NamedTuple):
    """The columns that fit, by index, and their widths in cells."""

    shown: tuple[int, ...]
    widths: tuple[int, ...]


def lay_out(columns: Sequence[Column], rows: Sequence[Sequence[str]], cells: int | None) -> Layout:
    """Choose columns and widths for a terminal of ``cells`` columns; None: unlimited."""
    widths = [
        max([width(column.heading), *(width(row[index]) for row in rows)])
        for index, column in enumerate(columns)
    ]
    shown = list(range(len(columns)))
    if cells is None:
        return Layout(tuple(shown), tuple(widths))
    while len(shown) > 1:
        excess = _total(shown, widths) - cells
        spare = sum(_spare(columns[index], widths[index]) for index in shown)
        if excess <= spare:
            break
        shown.remove(min(shown, key=lambda index: columns[index].rank))
    for index in shown:
        excess = _total(shown, widths) - cells
        if excess > 0:
            widths[index] -= min(excess, _spare(columns[index], widths[index]))
    return Layout(tuple(shown), tuple(widths[index] for index in shown))


def align(columns: Sequence[Column], layout: Layout, row: Sequence[str]) -> list[str]:
    """Return the visible cells of a row, each padded or cut to its width."""
    return [
        fit(row[index], cells, right=columns[index].right)
        for index, cells in zip(layout.shown, layout.widths, strict=True)
    ]


def table_lines(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], cells: int | None = None
) -> Iterator[str]:
    """Yield the heading and the rows as plain lines; ``cells`` None: unlimited width."""
    layout = lay_out(columns, rows, cells)
    for row in ([column.heading for column in columns], *rows):
        yield GAP.join(align(columns, layout, row)).rstrip()


def styled_table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    cells: int,
    *,
    row_styles: Sequence[str] | None = None,
    heading_style: str = QUIET_STYLE,
) -> Text:
    """Return the heading and the rows in colour; ``row_styles`` are those of first cells."""
    from rich.text import Text  # a pipe does without it

    layout = lay_out(columns, rows, cells)
    headings = align(columns, layout, [column.heading for column in columns])
    lines = [Text(GAP.join(headings), heading_style)]
    for at, row in enumerate(rows):
        line = Text()
        for index, cell in zip(layout.shown, align(columns, layout, row), strict=True):
            of_row = row_styles[at] if row_styles is not None and index == 0 else ""
            style = of_row or columns[index].style
            line.append(f"{cell}{GAP}", style)
        lines.append(line)
    for line in lines:
        line.rstrip()
    return Text("\n", no_wrap=True, overflow="crop").join(lines)


def _total(shown: Sequence[int], widths: Sequence[int]) -> int:
    return sum(widths[index] for index in shown) + len(GAP) * (len(shown) - 1)


def _spare(column: Column, cells: int) -> int:
    return max(0, cells - column.narrowest) if column.shrinks else 0
