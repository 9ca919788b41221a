"""The ID–OOD plane of the runs that match the filter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from vld_tui.store.runs import RunPoint
from vld_tui.widgets.picture import Picture

if TYPE_CHECKING:
    from vld_tui.views.plot import Line


class Plane(Picture):
    """Every run a point."""

    DEFAULT_CSS = "Plane { height: 1fr; }"

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._points: tuple[RunPoint, ...] = ()
        self._current: str | None = None

    def set_points(self, points: Sequence[RunPoint], current: str | None) -> None:
        """Show these points; ``current`` is the run the cursor stands on."""
        if (tuple(points), current) != (self._points, self._current):
            self._points, self._current = tuple(points), current
            self.redraw()

    def lines(self, cells: int, rows: int) -> Iterable[Line]:
        """Return the plane at a size."""
        from vld_tui.views.plane import plane_lines  # noqa: PLC0415 - imports numpy

        return plane_lines(self._points, current=self._current, cells=cells, rows=rows)
