"""Aligned columns of text that fit a given width.

Plain strings, so that ten thousand rows are formatted quickly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from vld_tui.words.palette import QUIET_STYLE
from vld_tui.words.text import fit, shorten, width

if TYPE_CHECKING:
    from rich.text import Text

GAP = "  "
_REST_RANK: Final = -1
"""Of the cells that are left when every column is shown."""


class Column(NamedTuple):
    """A column: its heading, its alignment, and its rank when width is short.

    Columns of the lowest ``rank`` go first. A column that ``shrinks`` gets ``narrowest`` cells;
    once the columns of a higher rank have theirs, it gets the cells of each (rank, cells) in
    ``steps``, and what is left when every column is shown. ``keeps_after`` is a separator whose
    right-hand side is cut last. ``style`` is that of the cells below the heading.
    """

    heading: str
    right: bool = False
    rank: int = 100
    shrinks: bool = False
    narrowest: int = 12
    style: str = ""
    steps: tuple[tuple[int, int], ...] = ()
    keeps_after: str = ""


class Layout(NamedTuple):
    """The columns that fit, by index, and their widths in cells."""

    shown: tuple[int, ...]
    widths: tuple[int, ...]

    @property
    def cells(self) -> int:
        """Return the width of a line."""
        return sum(self.widths) + len(GAP) * (len(self.widths) - 1)


class _Claim(NamedTuple):
    """A column's claim to a width. Claims are met in order of rank while there is room."""

    rank: int
    at: int
    cells: int
    is_first: bool


def lay_out(columns: Sequence[Column], rows: Sequence[Sequence[str]], cells: int | None) -> Layout:
    """Choose columns and widths for a terminal of ``cells`` columns; None: unlimited.

    More cells never show fewer columns.
    """
    widest = [
        max([width(column.heading), *(width(row[index]) for row in rows)])
        for index, column in enumerate(columns)
    ]
    if cells is None:
        return Layout(tuple(range(len(columns))), tuple(widest))
    given: dict[int, int] = {}
    left, is_full = cells + len(GAP), False
    for claim in _claims(columns, rows, widest):
        if claim.is_first:
            # Not even a narrower column of a lower rank: it would have to go in a wider terminal.
            is_full = is_full or (bool(given) and claim.cells + len(GAP) > left)
            if not is_full:
                given[claim.at] = claim.cells
                left -= claim.cells + len(GAP)
        elif claim.at in given and (not is_full or claim.rank == _REST_RANK):
            more = max(0, min(claim.cells - given[claim.at], left))
            given[claim.at] += more
            left -= more
    shown = tuple(sorted(given))
    return Layout(shown, tuple(given[index] for index in shown))


def _claims(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], widest: Sequence[int]
) -> list[_Claim]:
    """Return what every column claims, the most important first."""
    claims = []
    for index, (column, most) in enumerate(zip(columns, widest, strict=True)):
        if not column.shrinks:
            claims.append(_Claim(column.rank, index, most, True))
            continue
        claims.append(_Claim(column.rank, index, min(most, column.narrowest), True))
        steps = list(column.steps)
        if column.keeps_after:
            kept = (_kept_cells(row[index], column.keeps_after) for row in rows)
            steps.append((column.rank, max(kept, default=0)))
        claims += [_Claim(rank, index, min(most, wish), False) for rank, wish in steps]
        claims.append(_Claim(_REST_RANK, index, most, False))
    return sorted(claims, key=lambda claim: (-claim.rank, -claim.at, claim.cells))


def _kept_cells(text: str, separator: str) -> int:
    """Return the cells of a text whose left-hand side is cut to an ellipsis."""
    _, found, kept = text.rpartition(separator)
    return width(f"…{found}{kept}") if found else 0


def _cut(column: Column, text: str, cells: int) -> str:
    """Return a text in exactly these cells, cut where it matters least."""
    if column.keeps_after and width(text) > cells:
        cut, separator, kept = text.rpartition(column.keeps_after)
        room = cells - width(separator + kept)
        if separator and room > 0:
            text = shorten(cut, room) + separator + kept
    return fit(text, cells, right=column.right)


def align(columns: Sequence[Column], layout: Layout, row: Sequence[str]) -> list[str]:
    """Return the visible cells of a row, each padded or cut to its width."""
    return [
        _cut(columns[index], row[index], cells)
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
    cells: int | None,
    *,
    row_styles: Sequence[str] | None = None,
    heading_style: str = QUIET_STYLE,
) -> Text:
    """Return the heading and the rows in colour; ``row_styles`` are those of first cells.

    ``cells`` None: unlimited width.
    """
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


def fits(columns: Sequence[Column], rows: Sequence[Sequence[str]], cells: int | None) -> bool:
    """Return whether every column is shown."""
    return len(lay_out(columns, rows, cells).shown) == len(columns)


def whole_table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    cells: int | None,
    *,
    keys: int = 1,
) -> Text:
    """Return a table without loss of a column: of those that do not fit, further tables below.

    Each of them begins with the first ``keys`` columns. A column that alone does not fit makes
    its lines longer than ``cells``.
    """
    from rich.text import Text  # a pipe does without it

    if fits(columns, rows, cells):
        return styled_table(columns, rows, cells)
    assert cells is not None  # everything fits in unlimited width
    kept = [each._replace(narrowest=max(each.narrowest, cells // 3)) for each in columns[:keys]]
    tables, first = [], keys
    while first < len(columns):
        for stop in range(len(columns), first, -1):
            some = [*kept, *columns[first:stop]]
            values = [[*row[:keys], *row[first:stop]] for row in rows]
            if does_fit := fits(some, values, cells):
                break
        tables.append(styled_table(some, values, cells if does_fit else None))
        first = stop
    return Text("\n\n", no_wrap=True, overflow="crop").join(tables)
