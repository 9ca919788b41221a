"""Aligned columns in colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.text import Text

from vld_tui.words.columns import GAP, Column, align, lay_out
from vld_tui.words.palette import QUIET_STYLE


class StyledColumn(NamedTuple):
    """A column, and the style of its cells below the heading."""

    column: Column
    style: str = ""


def styled_table(
    columns: Sequence[StyledColumn], rows: Sequence[Sequence[str]], cells: int
) -> Text:
    """Return a quiet heading above rows; columns of the lowest rank go where room is short."""
    plain = [each.column for each in columns]
    layout = lay_out(plain, rows, cells)
    heading = align(plain, layout, [column.heading for column in plain])
    text = Text(no_wrap=True, overflow="crop")
    text.append(GAP.join(heading), QUIET_STYLE)
    for row in rows:
        text.append("\n")
        shown = zip(layout.shown, align(plain, layout, row), strict=True)
        for place, (index, cell) in enumerate(shown):
            text.append(f"{GAP if place else ''}{cell}", columns[index].style)
    return text
