"""The ID–OOD plane of the runs that match the filter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget

from vld_tui.store.runs import RunPoint
from vld_tui.views.plane import plane_lines


class Plane(Widget):
    """Points, drawn anew only when something changed."""

    DEFAULT_CSS = "Plane { height: 1fr; }"

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._points: tuple[RunPoint, ...] = ()
        self._current: str | None = None
        self._strips: list[Strip] = []
        self._drawn_for: object = None

    def set_points(self, points: Sequence[RunPoint], current: str | None) -> None:
        """Show these points; ``current`` is the run the cursor stands on."""
        if (tuple(points), current) != (self._points, self._current):
            self._points, self._current = tuple(points), current
            self._drawn_for = None
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return one line of the picture."""
        base = self.rich_style
        if self._drawn_for != (self.size, base):
            self._drawn_for = (self.size, base)
            lines = plane_lines(
                self._points, current=self._current, cells=self.size.width, rows=self.size.height
            )
            self._strips = [
                Strip(Segment.apply_style(line, base)).adjust_cell_length(self.size.width, base)
                for line in lines
            ]
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width, base)
