"""The list of some runs, such as those of a study, above the screen that it was opened from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.binding import BindingType

from vld_tui.dashboard.feed import Interest
from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.preferences import Preferences
from vld_tui.dashboard.screens.home import HomeScreen
from vld_tui.dashboard.widgets.run_table import RunTable

if TYPE_CHECKING:
    from vld_tui.dashboard.actions import Actions
    from vld_tui.study.planner import Planner


class RunsScreen(HomeScreen):
    """The list with only some runs, named by where they come from."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "escape", "clear", "back", show=True),
    ]

    def __init__(
        self,
        actions: Actions,
        planner: Planner,
        name: str,
        run_ids: Sequence[str],
        *,
        home: str,
        clock: Callable[[], float],
        preferences: Preferences,
    ) -> None:
        super().__init__(actions, planner, home=home, clock=clock, preferences=preferences)
        self._listing = self._listing.of_runs(name, run_ids)
        self._interest = self._listing.interest(Interest())

    def action_clear(self) -> None:
        """Remove the marks, then leave the group, then clear the filter, then go back."""
        listing = self._listing
        if self.query_one(RunTable).marked or listing.within is not None or listing.filter:
            super().action_clear()
        else:
            self.app.call_later(self.app.run_action, "close_runs")
