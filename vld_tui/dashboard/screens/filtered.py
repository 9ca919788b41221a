"""Screens of a list that ``/`` filters."""

from __future__ import annotations

from typing import ClassVar

from textual.screen import Screen

from vld_tui.dashboard.guard import Guarded
from vld_tui.dashboard.widgets.filter_line import RowFilterLine


class FilteredScreen(Guarded, Screen[None]):
    """A screen of a list below a :class:`RowFilterLine`."""

    LEAVE: ClassVar[str]
    """The action that returns to the screen below."""

    def on_row_filter_line_changed(self) -> None:
        """Show the rows that match."""
        self._show()

    def action_filter(self) -> None:
        """Type a filter."""
        self.query_one(RowFilterLine).begin()

    async def action_leave(self) -> None:
        """Clear the filter; without one, return to the screen below."""
        if not self.query_one(RowFilterLine).clear():
            await self.run_action(self.LEAVE)

    def _show(self) -> None:
        """Show the rows that match; the cursor stays on its row."""
        raise NotImplementedError
