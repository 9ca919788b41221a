"""The progress of studies as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.text import Text

from vld_tui.study.results.state import Counts, StudyProgress, TimeLeft
from vld_tui.words.columns import GAP, Column, align, lay_out
from vld_tui.words.numbers import duration
from vld_tui.words.palette import QUIET_STYLE, STATUS_STYLES
from vld_tui.words.text import plain_text

BAR_CELLS: Final = 20
PARTS: Final = (
    ("█", "finished", STATUS_STYLES["finished"]),
    ("▓", "running", STATUS_STYLES["running"]),
    ("░", "queued", STATUS_STYLES["queued"]),
    ("✗", "interrupted", STATUS_STYLES["failed"]),
    ("·", "missing", QUIET_STYLE),
)
"""The signs of a bar, one for each part of ``Counts``, in order."""
_COLUMNS: Final = (
    Column("study", rank=100, shrinks=True, narrowest=16),
    Column("", rank=97),
    Column("runs", rank=99),
    Column("time left", rank=98),
    Column("title", rank=50, shrinks=True, narrowest=12),
)
_LIST_BAR_CELLS: Final = 10


def progress_bar(counts: Counts, cells: int = BAR_CELLS) -> Text:
    """Return a bar with a sign for each state of runs; existing states get at least one cell."""
    bar = Text(no_wrap=True)
    for (sign, _, style), part in zip(PARTS, _parts(counts, cells), strict=True):
        bar.append(sign * part, style)
    return bar


def progress_line(counts: Counts, left: TimeLeft) -> Text:
    """Return the bar, the number of runs in each state, and the time left."""
    text = Text(" ", no_wrap=True, overflow="ellipsis").append_text(progress_bar(counts))
    text.append(f"  {counts.finished:,}/{counts.runs:,} finished")
    if said := left_text(counts, left):
        text.append(f" · {said}")
    named = [*zip(PARTS, counts, strict=True)]
    for (_, word, style), count in (named[3], *named[1:3], named[4]):  # failures first
        if count:
            text.append(f" · {count:,} {word}", style)
    return text


def left_text(counts: Counts, left: TimeLeft) -> str:
    """Return the time left; empty if nothing is left."""
    if counts.finished == counts.runs:
        return ""
    if left.unknown and not left.seconds:
        return "time left unknown"
    more = " and more" if left.unknown else ""
    return f"about {duration(left.seconds)}{more} left"


def study_lines(studies: Sequence[StudyProgress], cells: int) -> list[Text]:
    """Return an aligned line for each launched study."""
    rows = [_row(each) for each in studies]
    layout = lay_out(_COLUMNS, rows, cells)
    lines = []
    for study, row in zip(studies, rows, strict=True):
        line = Text(no_wrap=True, overflow="ellipsis")
        shown = zip(layout.shown, align(_COLUMNS, layout, row), strict=True)
        for place, (index, cell) in enumerate(shown):
            line.append(GAP if place else "")
            if index == 1 and study.problem is None:
                line.append_text(progress_bar(study.counts, _LIST_BAR_CELLS))
            else:
                line.append(cell, QUIET_STYLE if index > 2 else "")
        lines.append(line)
    return lines


def study_list_heading(studies: Sequence[StudyProgress], cells: int) -> str:
    """Return the headings of the columns of :func:`study_lines`."""
    layout = lay_out(_COLUMNS, [_row(each) for each in studies], cells)
    return GAP.join(align(_COLUMNS, layout, [column.heading for column in _COLUMNS]))


def _row(study: StudyProgress) -> list[str]:
    if study.problem is not None:
        problem = plain_text(study.problem.splitlines()[0])
        return [plain_text(study.name), " " * _LIST_BAR_CELLS, "?", "", problem]
    counts = study.counts
    runs = f"{counts.finished:,}/{counts.runs:,}"
    signs = ((count, sign) for count, (sign, _, _) in zip(counts, PARTS, strict=True))
    beside = [f"{count:,}{sign}" for count, sign in signs if count and sign in "▓✗·"]
    left = left_text(counts, study.left).removeprefix("about ").removesuffix(" left")
    done = "done" if counts.finished == counts.runs else left.removeprefix("time left ")
    return [
        plain_text(study.name),
        " " * _LIST_BAR_CELLS,
        " ".join([runs, *beside]),
        done,
        plain_text(study.title),
    ]


def _parts(counts: Counts, cells: int) -> list[int]:
    """Divide the cells: each existing state gets at least one, taken from the largest."""
    if not counts.runs:
        return [0] * len(counts)
    parts = [max(bool(count), cells * count // counts.runs) for count in counts]
    largest = max(range(len(parts)), key=lambda index: counts[index])
    parts[largest] += cells - sum(parts)
    return parts
