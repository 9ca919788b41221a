"""Signs and colours: the colour-blind-safe palette of Okabe and Ito, "Color Universal Design"
(2008), with more colours for series. No meaning depends on colour alone: every status has a
sign, every series a mark and a line pattern."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Final, NamedTuple

SKY_BLUE, ORANGE, GREEN, PURPLE = "#56B4E9", "#E69F00", "#009E73", "#CC79A7"
YELLOW, VERMILION, BLUE, GREY = "#F0E442", "#D55E00", "#0072B2", "#999999"
LIGHT_GREY: Final = "#B2B2B2"

ID_STYLE: Final = SKY_BLUE
OOD_STYLE: Final = ORANGE
SELECTED_STYLE: Final = YELLOW
"""Style of the selected step."""
QUIET_STYLE: Final = "dim"
HEADING_STYLE: Final = "bold"
ALARM_STYLE: Final = f"bold {VERMILION}"

STATUS_SIGNS: Final = {
    "queued": "◌",
    "starting": "○",
    "running": "●",
    "finished": "✓",
    "stopped": "■",
    "failed": "✗",
    "crashed": "✗",
    "damaged": "!",
    "gone": "∅",
    "killed": "✗",
}
"""``killed`` is the status of a run killed by this program until it is recorded as crashed."""
STATUS_STYLES: Final = {
    "queued": PURPLE,
    "starting": ID_STYLE,
    "running": ID_STYLE,
    "finished": GREEN,
    "stopped": ORANGE,
    "failed": VERMILION,
    "crashed": VERMILION,
    "damaged": VERMILION,
    "killed": VERMILION,
}
SERIES_STYLES: Final = ("#1CA98B", "#B980FF", "#FAE1A4", "#E77160", "#FFBFFD", "#BDBDBD")
"""Colours of runs, domains and other series, in order: none of them stands for ID or OOD."""
SERIES_MARKS: Final = "●▲■◆✚★"
"""Series marks in order."""
MANY_MARKS: Final = f"{SERIES_MARKS}{string.ascii_lowercase}"
"""Marks for many series, distinguishable without colours."""
SOLID, DASHED, DOTTED, DASH_DOT, LONG_DASHED, DASH_DOT_DOT = (
    (), (6, 4), (1, 2), (6, 3, 1, 3), (12, 4), (6, 3, 1, 3, 1, 3),
)  # fmt: skip
"""Line patterns: numbers of dots drawn and left out, in turn."""
SERIES_DASHES: Final = (SOLID, DASHED, DOTTED, DASH_DOT, LONG_DASHED, DASH_DOT_DOT)
"""Line patterns in order."""
DASH_SIGNS: Final[Mapping[tuple[int, ...], str]] = {
    SOLID: "──", DASHED: "╌╌", DOTTED: "··", DASH_DOT: "─·", LONG_DASHED: "━╴", DASH_DOT_DOT: "╴··",
}  # fmt: skip
"""Line patterns in a legend."""
DARK_SHADES: Final[Mapping[str, str]] = {
    GREEN: "#26B98D",
    VERMILION: "#FF8A66",
    BLUE: "#4FA3E0",
    PURPLE: "#DD9DC1",
}
"""Colours that have another shade on a dark background, to be readable as text."""
LIGHT_SHADES: Final[Mapping[str, str]] = {
    SKY_BLUE: "#005A94",
    ORANGE: "#824A00",
    GREEN: "#006045",
    PURPLE: "#8A2F66",
    YELLOW: "#5F5600",
    VERMILION: "#9C3000",
    BLUE: "#005A94",
    GREY: "#505050",
    LIGHT_GREY: "#6A6A6A",
    "#1CA98B": "#006010",
    "#B980FF": "#5A1FE0",
    "#FAE1A4": "#3A3A00",
    "#E77160": "#8C0010",
    "#FFBFFD": "#A0108A",
    "#BDBDBD": "#4A4A4A",
}
"""Shades of all colours on a light background."""
COLLAPSED_SIGN: Final = "▼"


class Look(NamedTuple):
    """The appearance of a series everywhere: in the list, in legends and in charts.

    ``dash`` is its line pattern, one of ``SERIES_DASHES``; ``mark`` is empty for none.
    """

    colour: str
    dash: tuple[int, ...] = SOLID
    mark: str = ""


def series_look(index: int) -> Look:
    """Return the appearance of a run or another series by its place among those shown.

    The first 32 have different marks and differ in colour or line pattern.
    """
    turn, at = divmod(index, len(SERIES_STYLES))
    return Look(
        SERIES_STYLES[at],
        SERIES_DASHES[turn % len(SERIES_DASHES)],
        MANY_MARKS[index % len(MANY_MARKS)],
    )


def status_label(status: str, *, collapsed: bool = False) -> str:
    """Return a run's status with its sign, and whether it collapsed."""
    label = f"{STATUS_SIGNS.get(status, '?')} {status}"
    return f"{label} {COLLAPSED_SIGN} collapsed" if collapsed else label


def status_style(status: str, *, collapsed: bool = False) -> str:
    """Return the style of a run's status."""
    return ALARM_STYLE if collapsed else STATUS_STYLES.get(status, "")
