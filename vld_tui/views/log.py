"""A line of a log with what is searched marked, and how the log is looked at, in words."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from vld_tui.views.numbers import plural
from vld_tui.views.palette import ALARM_STYLE, ID_STYLE, QUIET_STYLE
from vld_tui.views.text import plain_text


def log_line(line: str, searched: str, hit_style: Style) -> list[Segment]:
    """Return a line of a log as plain text; what is searched, whatever its case, stands out."""
    shown = plain_text(line.expandtabs())
    folded, wanted = shown.casefold(), plain_text(searched).casefold()
    if not wanted or len(folded) != len(shown):  # folding moved the places of characters
        is_hit = bool(wanted) and wanted in folded
        return [Segment(shown, hit_style if is_hit else None)]
    segments, start = [], 0
    while (at := folded.find(wanted, start)) >= 0:
        segments.append(Segment(shown[start:at]))
        segments.append(Segment(shown[at : at + len(wanted)], hit_style))
        start = at + len(wanted)
    segments.append(Segment(shown[start:]))
    return segments


def log_state(
    lines: int, *, is_cut: bool, is_followed: bool, searched: str, hits: int, place: int | None
) -> Text:
    """Say how many lines there are, whether they are followed, and which hit is shown."""
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(plural(lines, "line"), QUIET_STYLE)
    text.append("; earlier ones are in the file only" if is_cut else "", QUIET_STYLE)
    text.append(" · ", QUIET_STYLE)
    text.append("follows" if is_followed else "stands", ID_STYLE if is_followed else QUIET_STYLE)
    text.append(" (f)", QUIET_STYLE)
    if searched:
        text.append(f" · “{plain_text(searched)}” ")
        if hits:
            text.append(f"{'–' if place is None else place} of {hits:,} (n, N)", QUIET_STYLE)
        else:
            text.append("not found", ALARM_STYLE)
    else:
        text.append(" · / searches", QUIET_STYLE)
    return text
