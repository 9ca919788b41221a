"""The keys of a screen, as text in columns."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final, NamedTuple

from rich.text import Text

from vld_tui.words.palette import HEADING_STYLE, ID_STYLE
from vld_tui.words.text import fit, width

NARROWEST_ENTRY: Final = 34
"""Minimum width of a key with its label."""
MOST_KEY_CELLS: Final = 14


class KeyGroup(NamedTuple):
    """Keys that are active in one place, with their labels."""

    title: str
    entries: Sequence[tuple[str, str]]


def key_list(groups: Sequence[KeyGroup], cells: int) -> Text:
    """Return the groups one after another, their entries in as many columns as fit."""
    columns = max(1, cells // NARROWEST_ENTRY)
    entry_cells = cells // columns
    longest = max((width(keys) for group in groups for keys, _ in group.entries), default=0)
    key_cells = min(MOST_KEY_CELLS, longest)
    text = Text()
    for group in groups:
        text.append("\n" if text else "").append(f"{group.title}\n", HEADING_STYLE)
        height = max(1, -(-len(group.entries) // columns))
        beside = [group.entries[at : at + height] for at in range(0, len(group.entries), height)]
        for row in itertools.zip_longest(*beside):
            for keys, about in filter(None, row):
                shown = f"{fit(keys, max(key_cells, width(keys)), right=True)}  "
                text.append(shown, ID_STYLE)
                text.append(fit(about, entry_cells - width(shown)))
            text.append("\n")
    text.rstrip()
    return text
