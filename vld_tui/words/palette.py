"""Signs and colours: the colour-blind-safe palette of Okabe and Ito, "Color Universal Design"
(2008). No meaning depends on colour alone: every status has a sign, every series a mark."""

from __future__ import annotations

import string
from typing import Final

SKY_BLUE, ORANGE, GREEN, PURPLE = "#56B4E9", "#E69F00", "#009E73", "#CC79A7"
YELLOW, VERMILION, BLUE, GREY = "#F0E442", "#D55E00", "#0072B2", "#999999"

ID_STYLE: Final = SKY_BLUE
OOD_STYLE: Final = ORANGE
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
SERIES_STYLES: Final = (SKY_BLUE, ORANGE, GREEN, PURPLE, YELLOW, VERMILION, BLUE, GREY)
"""Series colours in order, starting with the most distinguishable, blue and orange."""
SERIES_MARKS: Final = "●▲■◆✚★"
"""Series marks in order."""
MANY_MARKS: Final = f"{SERIES_MARKS}{string.ascii_lowercase}"
"""Marks for many series, distinguishable without colours."""
COLLAPSED_SIGN: Final = "▼"


def status_label(status: str, *, collapsed: bool = False) -> str:
    """Return a run's status with its sign, and whether it collapsed."""
    label = f"{STATUS_SIGNS.get(status, '?')} {status}"
    return f"{label} {COLLAPSED_SIGN} collapsed" if collapsed else label


def status_style(status: str, *, collapsed: bool = False) -> str:
    """Return the style of a run's status."""
    return ALARM_STYLE if collapsed else STATUS_STYLES.get(status, "")
