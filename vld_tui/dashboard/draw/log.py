"""Lines of a log with highlighted matches, and the state of the view as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from vld_tui.words.numbers import plural
from vld_tui.words.palette import ALARM_STYLE, ID_STYLE, QUIET_STYLE
from vld_tui.words.text import plain_text

WRITTEN_HEADING: Final = "── process output (engine.log) ──"
WRITTEN_MARK: Final = "┆ "


def log_lines(reported: Sequence[str], written: Sequence[str]) -> tuple[str, ...]:
    """Return a run's events, followed by its process output, marked."""
    if not written:
        return tuple(reported)
    return (*reported, WRITTEN_HEADING, *(WRITTEN_MARK + line for line in written))


def log_tail(reported: Sequence[str], written: Sequence[str], rows: int) -> tuple[str, ...]:
    """Return the last lines of both that fit in some rows, a third of them for the latter."""
    of_written = max(rows // 3, rows - len(reported))
    shown = log_lines((), written[-of_written:])[1:]
    return (*reported[len(shown) - rows :], *shown)


def log_line(line: str, searched: str, hit_style: Style) -> list[Segment]:
    """Return a line of a log as plain text with matches highlighted, ignoring case."""
    shown = plain_text(line.expandtabs())
    folded, wanted = shown.casefold(), plain_text(searched).casefold()
    if not wanted or len(folded) != len(shown):  # case folding changed the positions of characters
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
    lines: int,
    *,
    is_cut: bool,
    is_followed: bool,
    searched: str,
    hits: int,
    place: int | None,
    is_wide: bool = False,
) -> Text:
    """Return the number of lines, whether they are followed, and the current match, as text."""
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(plural(lines, "line"), QUIET_STYLE)
    text.append("; earlier lines are only in the file" if is_cut else "", QUIET_STYLE)
    text.append(" · ", QUIET_STYLE)
    text.append(*("following", ID_STYLE) if is_followed else ("not following", QUIET_STYLE))
    text.append(" (F)", QUIET_STYLE)
    text.append(" · ← → for long lines" if is_wide else "", QUIET_STYLE)
    if searched:
        text.append(f" · “{plain_text(searched)}” ")
        if hits:
            text.append(f"{'–' if place is None else place} of {hits:,} (n, N)", QUIET_STYLE)
        else:
            text.append("not found", ALARM_STYLE)
    else:
        text.append(" · / to search", QUIET_STYLE)
    return text
