"""A confusion matrix, or a list of the largest confusions, with a cell chosen by keys or clicks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.text import Text
from textual import events
from textual.binding import BindingType
from textual.geometry import Region
from textual.message import Message

from engine.protocol import DomainPredictions
from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.widgets.text import ScrolledText
from vld_tui.runs.mistakes import ConfusionCell
from vld_tui.views.predictions import ConfusionGrid, confusion_grid


class ConfusionsView(ScrolledText):
    """The confusions of one split of a domain."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("open", "enter", "open", "open", show=True),
        bind("line-up", "up,k", "move(-1, 0)", "line up"),
        bind("line-down", "down,j", "move(1, 0)", "line down"),
        bind("cell-left", "left,h", "move(0, -1)", "cell left"),
        bind("cell-right", "right,l", "move(0, 1)", "cell right"),
    ]

    @dataclass
    class CellOpened(Message):
        """The user wants to see the images of a cell."""

        cell: ConfusionCell

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._domain: DomainPredictions | None = None
        self._grid = ConfusionGrid()
        self._names: Sequence[str] = ()
        self._cells = 0
        self._order: tuple[int, ...] = ()
        self._at: tuple[int, int] | None = None

    def show_confusions(
        self, domain: DomainPredictions, classes: Sequence[str], order: Sequence[int], cells: int
    ) -> None:
        """Show the confusions of a domain in an order of the classes."""
        if self._domain is None or domain.domain != self._domain.domain:
            self._at = None
        self._domain, self._names, self._cells = domain, classes, cells
        self._order = tuple(order)
        self._draw()

    def clear(self) -> None:
        """Show nothing."""
        self._domain = None
        self.show(Text())

    def on_focus(self) -> None:
        """Show the cursor."""
        self.call_later(self._draw)  # the focus comes after this

    def on_blur(self) -> None:
        """Hide the cursor."""
        self.call_later(self._draw)

    def action_move(self, down: int, across: int) -> None:
        """Move to another cell."""
        row, column = self._place
        self._go(row + down, column + across)

    def action_open(self) -> None:
        """Show the images of the current cell."""
        if self._domain is None or not self._grid.pairs:
            return
        row, column = self._place
        place = self._domain.domain, self._domain.split
        self.post_message(self.CellOpened(ConfusionCell(*place, *self._grid.pairs[row][column])))

    def on_click(self, event: events.Click) -> None:
        """Go to the clicked cell; a double click shows its images."""
        at = event.get_content_offset(self)
        found = self._grid.at(at.x + int(self.scroll_x), at.y + int(self.scroll_y)) if at else None
        if found is not None:
            self.focus()
            self._go(*found)
            if event.chain == 2:
                self.action_open()

    @property
    def _place(self) -> tuple[int, int]:
        """Return row and column of the cursor: at first the largest confusion."""
        rows = len(self._grid.pairs)
        if not rows:
            return 0, 0
        row, column = self._at if self._at is not None else self._grid.largest
        row = max(0, min(row, rows - 1))
        return row, max(0, min(column, len(self._grid.pairs[row]) - 1))

    def _go(self, row: int, column: int) -> None:
        self._at = (row, column)
        self._at = self._place
        self._draw()
        top = self._at[0] + self._grid.heading_lines
        self.scroll_to_region(Region(0, max(0, top - 1), 1, 3), animate=False, force=True)

    def _draw(self) -> None:
        if self._domain is None:
            return
        self._grid = confusion_grid(self._domain, self._names, self._cells, self._order)
        self.show(self._grid.text(self._place if self.has_focus else None))
