"""The style of the figures, legible at the width of a paper column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from vld_tui.study.results.outcomes import Setting
from vld_tui.words.palette import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY_BLUE,
    VERMILION,
)
from vld_tui.words.text import plain_text, shorten

COLUMN_INCHES, PAGE_INCHES = 3.4, 7.0
"""Widths of a column and of a full page."""
PANEL_INCHES: Final = 2.7
COLOURS: Final = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY_BLUE, GREY, "#000000")
"""Okabe and Ito's palette without yellow, which is invisible on white."""
MARKERS: Final = ("o", "^", "s", "D", "P", "X", "v")
LINES: Final = ("-", "--", ":", "-.")
INK, FAINT = "#222222", "#999999"
LONGEST_LABEL: Final = 48
RC: Final[dict[str, Any]] = {
    "font.family": "sans-serif",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.5,
    "text.parse_math": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "pdf.fonttype": 42,
}
"""No math text, since names are external; text stays text in the PDF."""


class Look(NamedTuple):
    """A setting's colour, for its values, and its mark and line, for its arm."""

    colour: str
    marker: str
    line: str


def looks(settings: Sequence[Setting]) -> dict[Setting, Look]:
    """Return each setting's look, the same in every figure."""
    values = list(dict.fromkeys(setting.values for setting in settings))
    arms = list(dict.fromkeys(setting.arm for setting in settings))
    return {
        setting: Look(
            COLOURS[values.index(setting.values) % len(COLOURS)],
            MARKERS[arms.index(setting.arm) % len(MARKERS)],
            LINES[arms.index(setting.arm) % len(LINES)],
        )
        for setting in settings
    }


def shown(text: str, longest: int = LONGEST_LABEL) -> str:
    """Return external text for a figure."""
    return shorten(plain_text(text), longest)
