"""How a person likes the dashboard: kept with the home, the same in every terminal."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from vld_tui.dashboard.notices import Notice

FASTEST_REFRESH_S: Final = 0.1
SLOWEST_REFRESH_S: Final = 3600.0
PREFERENCES_SETTING: Final = "dashboard"


class Preferences(msgspec.Struct, frozen=True, kw_only=True):
    """What the dashboard remembers. ``columns`` empty: the usual ones, as they find room.

    ``keys`` are those of actions that have other keys than usual, by the binding's id, separated
    by commas.
    """

    theme: str = "textual-dark"
    refresh_s: Annotated[float, Meta(ge=FASTEST_REFRESH_S, le=SLOWEST_REFRESH_S)] = 1.0
    notice: Notice = "off"
    columns: tuple[str, ...] = ()
    sort: str = "-created"
    group: str | None = None
    keys: dict[str, str] = {}
