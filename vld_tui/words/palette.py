"""Signs and colours: those of Okabe and Ito, "Color Universal Design" (2008), which eyes of
every kind tell apart, for everyone. No colour carries a meaning alone: every status has its own
sign, every series its own mark."""

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
"""``killed`` is how a run that this program killed ends before history calls it crashed."""
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
"""Colours of things side by side, in order; blue and orange first, which all eyes part."""
SERIES_MARKS: Final = "●▲■◆✚★"
"""Marks of things side by side, in order."""
MANY_MARKS: Final = f"{SERIES_MARKS}{string.ascii_lowercase}"
"""Marks that are told apart without colours where there are many."""
COLLAPSED_SIGN: Final = "▼"


def status_label(status: str, *, collapsed: bool = False) -> str:
    """Return a run's status with its sign; a collapse stands beside it."""
    label = f"{STATUS_SIGNS.get(status, '?')} {status}"
    return f"{label} {COLLAPSED_SIGN} collapsed" if collapsed else label


def status_style(status: str, *, collapsed: bool = False) -> str:
    """Return the style of a run's status."""
    return ALARM_STYLE if collapsed else STATUS_STYLES.get(status, "")
