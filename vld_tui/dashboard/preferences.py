"""The dashboard's preferences, stored in the home."""

from __future__ import annotations

from typing import Final

import msgspec

from vld_tui.config import DashboardConfig
from vld_tui.dashboard.keys import under_present_ids

PREFERENCES_SETTING: Final = "dashboard"


class Preferences(DashboardConfig, frozen=True, kw_only=True):
    """What the dashboard remembers: its settings and the last choices.

    ``columns`` empty: the default ones that fit. ``filters`` are the last ones, the latest last.

    ``keys`` are the chosen keys of actions, separated by commas, by the id of their bindings.
    """

    columns: tuple[str, ...] = ()
    sort: str = "-created"
    group: str | None = None
    filters: tuple[str, ...] = ()
    keys: dict[str, str] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Accept keys that an earlier version saved."""
        msgspec.structs.force_setattr(self, "keys", under_present_ids(self.keys))
