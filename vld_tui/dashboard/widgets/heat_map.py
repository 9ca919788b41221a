"""A heat map with a cursor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from textual import events
from textual.binding import BindingType
from textual.message import Message

from vld_tui.dashboard.draw.heat_map import HeatMap
from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.widgets.text import Drawing
from vld_tui.views.legend import Line


class HeatMapView(Drawing, can_focus=True):
    """Cells in rows and columns; one of them is current."""

    DEFAULT_CSS = "HeatMapView { height: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("cell-left", "left,h", "move(0, -1)", "cell left"),
        bind("cell-right", "right,l", "move(0, 1)", "cell right"),
        bind("cell-up", "up,k", "move(-1, 0)", "cell up"),
        bind("cell-down", "down,j", "move(1, 0)", "cell down"),
        bind("first-cell", "home,g", "go(0, 0)", "first cell"),
        bind("last-cell", "end,G", "go(-1, -1)", "last cell"),
        bind("open", "enter", "open", "open", show=True),
    ]

    @dataclass
    class CellMoved(Message):
        """Another cell is current."""

        row: int
        column: int

    @dataclass
    class CellOpened(Message):
        """The user opened a cell."""

        row: int
        column: int

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._map = HeatMap()

    @property
    def cursor(self) -> tuple[int, int]:
        """Return the row and the column of the current cell."""
        return self._map.cursor

    @property
    def width_for_all(self) -> int:
        """Return the width at which every column is shown with its name."""
        return self._map.width_for_all()

    @property
    def height_at_most(self) -> int:
        """Return the number of lines that the map can use."""
        return self._map.height_at_most()

    def show(self, heat_map: HeatMap) -> None:
        """Show other cells and their cursor."""
        if heat_map != self._map:
            self._map = heat_map
            self.redraw()

    def move_to(self, row: int, column: int) -> None:
        """Move the cursor to a cell."""
        moved = self._map.at(row, column)
        if moved.cursor != self._map.cursor:
            self.show(moved)
            self.post_message(self.CellMoved(*moved.cursor))

    def action_move(self, down: int, across: int) -> None:
        """Move the cursor."""
        self.move_to(*self._map.moved(down, across).cursor)

    def action_go(self, row: int, column: int) -> None:
        """Move the cursor to a cell; −1 is the last row or column."""
        rows, columns = len(self._map.rows), len(self._map.columns)
        self.move_to(row % rows if rows else 0, column % columns if columns else 0)

    def action_open(self) -> None:
        """Open the current cell."""
        if self._map.rows and self._map.columns:
            self.post_message(self.CellOpened(*self._map.cursor))

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to a clicked cell; a double click opens it."""
        place = self._map.cell_at(event.x, event.y, self.size.width, self.size.height)
        if place is None:
            return
        if place == self._map.cursor and event.chain > 1:
            self.action_open()
        else:
            self.move_to(*place)

    def lines(self, cells: int, rows: int) -> Iterable[Line]:
        """Return the map at a size."""
        return self._map.lines(cells, rows)
