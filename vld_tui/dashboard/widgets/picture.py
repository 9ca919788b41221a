"""A widget that shows lines of styled text, drawn again only when something changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.segment import Segment
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from vld_tui.dashboard.guard import Guarded


class Picture(Guarded, Widget):
    """The result of ``lines``, cached until ``redraw`` or another size."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._strips: list[Strip] = []
        self._drawn_for: object = None

    def lines(self, cells: int, rows: int) -> Iterable[list[Segment]]:
        """Return the picture at a size."""
        raise NotImplementedError

    def redraw(self) -> None:
        """Draw again."""
        self._drawn_for = None
        self.refresh()

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return lines of the picture, drawing it again if needed."""
        base = self.rich_style
        if self._drawn_for != (self.size, base):
            self._drawn_for = (self.size, base)
            self._strips = [
                Strip(Segment.apply_style(line, base)).adjust_cell_length(self.size.width, base)
                for line in self.lines(self.size.width, self.size.height)
            ]
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """Return one line of the picture."""
        return (
            self._strips[y]
            if y < len(self._strips)
            else Strip.blank(self.size.width, self.rich_style)
        )
