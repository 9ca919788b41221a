"""Signs and colours. Blue against orange stays apart for colour-blind eyes, and no colour
carries a meaning alone: every status has its own sign, every series its own mark."""

from __future__ import annotations

from typing import Final

ID_STYLE: Final = "dodger_blue1"
OOD_STYLE: Final = "dark_orange"
QUIET_STYLE: Final = "dim"
HEADING_STYLE: Final = "bold"
ALARM_STYLE: Final = "bold red"

STATUS_SIGNS: Final = {
    "queued": "◌",
    "starting": "○",
    "running": "●",
    "finished": "✓",
    "stopped": "■",
    "failed": "✗",
    "crashed": "✗",
    "killed": "✗",
}
"""``killed`` is how a run that this program killed ends before history calls it crashed."""
STATUS_STYLES: Final = {
    "queued": "cyan",
    "starting": ID_STYLE,
    "running": ID_STYLE,
    "finished": "green",
    "stopped": "yellow",
    "failed": "red",
    "crashed": "red",
    "killed": "red",
}
SERIES_STYLES: Final = (
    "dodger_blue1", "dark_orange", "green3", "magenta", "gold1", "cyan1", "red", "grey70",
)  # fmt: skip
"""Colours of things side by side, in order; blue and orange first, which all eyes part."""
SERIES_MARKS: Final = "●▲■◆✚★"
"""Marks of things side by side, in order."""
COLLAPSED_SIGN: Final = "▼"


def status_label(status: str, *, collapsed: bool = False) -> str:
    """Return a run's status with its sign; a collapse stands beside it."""
    label = f"{STATUS_SIGNS.get(status, '?')} {status}"
    return f"{label} {COLLAPSED_SIGN} collapsed" if collapsed else label


def status_style(status: str, *, collapsed: bool = False) -> str:
    """Return the style of a run's status."""
    return ALARM_STYLE if collapsed else STATUS_STYLES.get(status, "")
