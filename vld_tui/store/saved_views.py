"""Views of the list of runs that the user saved under names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from engine.protocol import nearest
from vld_tui.store.database import Database
from vld_tui.store.errors import StoreError
from vld_tui.store.settings import Settings

VIEWS_SETTING: Final = "views"
LONGEST_NAME: Final = 60


class SavedView(msgspec.Struct, frozen=True, kw_only=True):
    """What is listed and how: a filter, columns (empty: the default ones), order and grouping."""

    filter: str = ""
    columns: tuple[str, ...] = ()
    sort: str = "-created"
    group: str | None = None


class SavedViews:
    """The saved views of a home."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database, self._settings = database, settings

    def all(self) -> dict[str, SavedView]:
        """Return the views by name, in alphabetical order.

        Raises:
            StoreError: when they are damaged.
        """
        row = self._database.row("SELECT value FROM settings WHERE name = ?", [VIEWS_SETTING])
        try:
            views = msgspec.json.decode(row[0], type=dict[str, SavedView]) if row else {}
        except msgspec.DecodeError as error:
            raise StoreError(
                f"The saved views in {self._database.path} are damaged: {error}.\n"
                "Saving a view replaces them."
            ) from None
        return dict(sorted(views.items()))

    def get(self, name: str) -> SavedView:
        """Return a view.

        Raises:
            StoreError: when there is none of this name, or they are damaged.
        """
        views = self.all()
        if name not in views:
            known = f" Saved views: {', '.join(views)}." if views else ""
            hint = nearest(name, views) or known or " Save views in the dashboard with V."
            raise StoreError(f"No saved view {name!r}.{hint}")
        return views[name]

    def save(self, name: str, view: SavedView) -> None:
        """Save a view, replacing one of the same name.

        Raises:
            StoreError: for an unusable name.
        """
        if not name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
            raise StoreError(
                f"The name of a view needs 1 to {LONGEST_NAME} printable characters, not {name!r}."
            )
        self._change(lambda views: {**views, name.strip(): view})

    def delete(self, name: str) -> None:
        """Delete a view, if it exists."""
        self._change(lambda views: {each: view for each, view in views.items() if each != name})

    def _change(self, change: Callable[[dict[str, SavedView]], dict[str, SavedView]]) -> None:
        self._settings.change(VIEWS_SETTING, dict[str, SavedView], {}, change)
