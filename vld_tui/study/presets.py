"""Presets: saved inputs of the new-run form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from vld_tui.store.errors import StoreError
from vld_tui.store.store import Store

PRESETS_SETTING: Final = "presets"
LONGEST_NAME: Final = 60

Preset = Mapping[str, str]
"""The typed texts by field, possibly with several seeds."""
_Presets = dict[str, dict[str, str]]


def read_presets(store: Store) -> dict[str, dict[str, str]]:
    """Return the presets by name, sorted.

    Raises:
        StoreError: when they cannot be read.
    """
    kept = store.settings.get(PRESETS_SETTING, _Presets, {})
    return dict(sorted(kept.items(), key=lambda item: (item[0].casefold(), item[0])))


def keep_preset(store: Store, name: str, preset: Preset) -> None:
    """Save a preset, replacing one of the same name.

    Raises:
        StoreError: when the name is invalid, or it cannot be written.
    """
    name = name.strip()
    if not 0 < len(name) <= LONGEST_NAME:
        raise StoreError(
            f"A preset name must have 1 to {LONGEST_NAME} characters, not {len(name)}."
        )
    try:
        name.encode()
    except UnicodeEncodeError:
        raise StoreError("A preset name must be valid text.") from None
    _change(store, lambda kept: {**kept, name: dict(preset)})


def drop_preset(store: Store, name: str) -> None:
    """Delete a preset.

    Raises:
        StoreError: when it cannot be written.
    """
    _change(store, lambda kept: {each: kept[each] for each in kept if each != name})


def _change(store: Store, change: Callable[[_Presets], _Presets]) -> None:
    store.settings.change(PRESETS_SETTING, _Presets, {}, change)
