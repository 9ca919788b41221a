"""A heat map as text: values of two fields, coloured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from rich.segment import Segment
from rich.style import Style

from vld_tui.views.heat_colours import heat_style
from vld_tui.views.legend import Line
from vld_tui.words.text import fit, shorten, width

NARROWEST_CELL: Final = 7
WIDEST_CELL: Final = 22
USUAL_LABEL_CELLS: Final = 24
"""Maximum width of row labels where columns need the room."""
MOST_LABEL_CELLS: Final = 44
HEIGHTS: Final = (5, 3, 1)
"""Possible heights of a cell; the first at which every row fits."""
LEGEND_ROWS: Final = 2
"""Rows above the cells: what they show, and the columns."""
_SCALE_CELLS: Final = 10
_TITLE_CELLS: Final = 24
"""Width of the title below which it gets the room of the scale."""
_QUIET: Final = Style(dim=True)
_STRONG: Final = Style(bold=True)


@dataclass(frozen=True)
class HeatCell:
    """A cell's value and remark, and its colour as a share of the scale; None: no colour."""

    text: str
    remark: str = ""
    share: float | None = None

    @property
    def whole(self) -> str:
        """Return the whole text."""
        return f"{self.text} {self.remark}".strip()


@dataclass(frozen=True)
class HeatMap:
    """Cells in rows and columns; ``title`` names what they show, ``low`` and ``high`` are the ends
    of the colour scale, ``corner`` names the rows. The cursor is a row and a column."""

    title: str = ""
    corner: str = ""
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    cells: tuple[tuple[HeatCell, ...], ...] = ()
    low: str = ""
    high: str = ""
    cursor: tuple[int, int] = (0, 0)

    def lines(self, cells: int, rows: int) -> Iterator[Line]:
        """Yield the lines of a picture of ``cells`` columns and ``rows`` rows."""
        if not self.rows or not self.columns:
            yield [Segment(shorten(self.title, cells), _QUIET)]
            return
        layout = self._layout(cells, rows)
        yield self._legend(layout, cells)
        yield self._heading(layout)
        for row in layout.rows:
            for line in range(layout.cell_rows):
                yield self._row(layout, row, is_text=line == layout.cell_rows // 2)
        for _ in range(LEGEND_ROWS + len(layout.rows) * layout.cell_rows, rows):
            yield []

    def moved(self, down: int, across: int) -> HeatMap:
        """Return the map with the cursor moved, within its bounds."""
        row, column = self.cursor
        return self.at(row + down, column + across)

    def at(self, row: int, column: int) -> HeatMap:
        """Return the map with the cursor at a cell, or at the nearest existing one."""
        row = max(0, min(row, len(self.rows) - 1))
        return replace(self, cursor=(row, max(0, min(column, len(self.columns) - 1))))

    def cell_at(self, x: int, y: int, cells: int, rows: int) -> tuple[int, int] | None:
        """Return the row and column of the cell drawn there, or None."""
        if not self.rows or not self.columns:
            return None
        layout = self._layout(cells, rows)
        row = (y - LEGEND_ROWS) // layout.cell_rows
        column = (x - layout.label_cells - 1) // (layout.cell_cells + 1)
        if 0 <= row < len(layout.rows) and 0 <= column < len(layout.columns):
            return layout.rows[row], layout.columns[column]
        return None

    @cached_property
    def _needed_cells(self) -> int:
        """Return the width that cells need, including the cursor around the longest."""
        longest = max(width(cell.whole) for row in self.cells for cell in row)
        return min(WIDEST_CELL, max(NARROWEST_CELL, longest + 2))

    @cached_property
    def _wanted_cells(self) -> int:
        """Return the width that cells and the names of columns need."""
        return max(self._needed_cells, min(max(map(width, self.columns)), WIDEST_CELL))

    def width_for_all(self) -> int:
        """Return the width at which every column and its name is shown."""
        if not self.rows or not self.columns:
            return 0
        label_cells = min(MOST_LABEL_CELLS, max(width(self.corner), *map(width, self.rows)))
        return label_cells + len(self.columns) * (self._wanted_cells + 1)

    def height_at_most(self) -> int:
        """Return the number of rows beyond which nothing more is shown."""
        return LEGEND_ROWS + HEIGHTS[1] * len(self.rows)

    def _layout(self, cells: int, rows: int) -> _Layout:
        spare = cells - len(self.columns) * (self._wanted_cells + 1)
        label_cells = min(
            MOST_LABEL_CELLS,
            max(min(USUAL_LABEL_CELLS, cells // 3), spare),
            max(width(self.corner), *map(width, self.rows)),
        )
        room, needed = max(1, cells - label_cells), self._needed_cells
        wide = room // len(self.columns) - 1
        # As many columns as their numbers allow, and their whole names if there is room for them.
        cell_cells = min(max(wide, needed), WIDEST_CELL)
        if wide < needed:
            pages = -(-len(self.columns) // max(1, room // (needed + 1)))
            a_page = -(-len(self.columns) // pages)
            cell_cells = max(needed, min(room // a_page - 1, self._wanted_cells))
        fitting = max(1, room // (cell_cells + 1))
        row_room = max(1, rows - LEGEND_ROWS)
        fits = (height for height in HEIGHTS if height * len(self.rows) <= row_room)
        cell_rows = next(fits, HEIGHTS[-1])
        return _Layout(
            label_cells,
            min(cell_cells, max(1, room - 1)),
            cell_rows,
            _part(len(self.rows), row_room // cell_rows, self.cursor[0]),
            _part(len(self.columns), fitting, self.cursor[1]),
        )

    def _legend(self, layout: _Layout, cells: int) -> Line:
        """Return the title, the colour scale, and which part is visible."""
        parts = [_part_text("rows", layout.rows, self.rows)]
        parts.append(_part_text("columns", layout.columns, self.columns))
        beside = "".join(f"  {part}" for part in parts if part)
        beside = beside if len(beside) <= cells // 2 else ""
        scale = self._scale()
        scale_cells = sum(width(each.text) for each in scale)
        if cells - len(beside) - scale_cells < min(_TITLE_CELLS, width(self.title)):
            scale, scale_cells = [], 0
        title = shorten(self.title, cells - len(beside) - scale_cells)
        return [Segment(title, _STRONG), Segment(beside, _QUIET), *scale]

    def _scale(self) -> Line:
        """Return the colours with both ends."""
        if not self.low:
            return []
        shares = (step / (_SCALE_CELLS - 1) for step in range(_SCALE_CELLS))
        colours = [Segment(" ", heat_style(share)) for share in shares]
        return [Segment(f"   {self.low} ", _QUIET), *colours, Segment(f" {self.high}", _QUIET)]

    def _heading(self, layout: _Layout) -> Line:
        names = _short(self.columns, layout.columns, layout.cell_cells)
        corner = fit(self.corner, layout.label_cells)
        return [Segment(corner, _QUIET), *(Segment(f" {name}", _QUIET) for name in names)]

    def _row(self, layout: _Layout, row: int, *, is_text: bool) -> Line:
        """Return one line of a row of cells: the one with the text, or one above or below it."""
        label = fit(self.rows[row] if is_text else "", layout.label_cells)
        line = [Segment(label)]
        for column in layout.columns:
            cell, cells = self.cells[row][column], layout.cell_cells
            is_current = (row, column) == self.cursor
            style = Style.null() if cell.share is None else heat_style(cell.share)
            text = _centred(cell.whole if is_text else "", max(0, cells - 2))
            left, right = "▐▌" if is_current else "  "
            edge = style + _STRONG
            line += [
                Segment(" "),
                Segment(left, edge),
                Segment(text, edge if is_current else style),
            ]
            line.append(Segment(right, edge))
        return line


@dataclass(frozen=True)
class _Layout:
    """Widths of the row names and of a cell, its height, and the visible rows and columns."""

    label_cells: int
    cell_cells: int
    cell_rows: int
    rows: range
    columns: range


def _part(count: int, fitting: int, cursor: int) -> range:
    """Return the page of ``fitting`` of ``count`` items that holds the cursor."""
    fitting = max(1, min(fitting, count))
    start = min(cursor // fitting * fitting, count - fitting)
    return range(start, start + fitting)


def _part_text(noun: str, part: range, things: tuple[str, ...]) -> str:
    if len(part) == len(things):
        return ""
    return f"{noun} {part.start + 1}–{part.stop} of {len(things)}"


def _short(names: tuple[str, ...], part: range, cells: int) -> Iterator[str]:
    """Yield centred names; of names that would look alike when cut, the end is kept."""
    cut = [shorten(name, cells) for name in names]
    for column in part:
        name = names[column]
        if cut.count(cut[column]) > 1 and width(name) > cells:
            while width(name) >= cells:
                name = name[1:]
            name = f"…{name}"
        yield _centred(name, cells)


def _centred(text: str, cells: int) -> str:
    text = shorten(text, cells)
    return fit(" " * ((cells - width(text)) // 2) + text, cells)
