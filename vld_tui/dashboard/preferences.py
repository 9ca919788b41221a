"""The dashboard's preferences, stored in the home."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from vld_tui.dashboard.keys import under_present_ids
from vld_tui.dashboard.notices import Notice

FASTEST_REFRESH_S: Final = 0.1
SLOWEST_REFRESH_S: Final = 3600.0
PREFERENCES_SETTING: Final = "dashboard"


class Preferences(msgspec.Struct, frozen=True, kw_only=True):
    """What the dashboard remembers. ``columns`` empty: the default ones that fit.

    ``keys`` are the chosen keys of actions, separated by commas, by the id of their bindings.
    """

    theme: str = "textual-dark"
    refresh_s: Annotated[float, Meta(ge=FASTEST_REFRESH_S, le=SLOWEST_REFRESH_S)] = 1.0
    notice: Notice = "off"
    columns: tuple[str, ...] = ()
    sort: str = "-created"
    group: str | None = None
    keys: dict[str, str] = {}

    def __post_init__(self) -> None:
        """Accept keys that an earlier version saved."""
        msgspec.structs.force_setattr(self, "keys", under_present_ids(self.keys))
