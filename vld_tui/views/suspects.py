"""Training images whose label may be wrong: a table, and how they were found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.text import Text

from engine.protocol.suspects import Suspect, Suspects, UsedCheckpoint
from vld_tui.words.columns import Column, whole_table
from vld_tui.words.numbers import percent, plural, signed
from vld_tui.words.palette import ALARM_STYLE, QUIET_STYLE
from vld_tui.words.text import plain_text

SUSPECT_SIGN: Final = "?"
"""Marks an image that reaches the threshold."""
KINDS: Final = {"identical": "identical file", "copy": "copy", "similar": "similar image"}
"""Words for the kinds of twins."""
_COLUMNS: Final = (
    Column("", rank=1000, style=ALARM_STYLE),
    Column("image", rank=998, shrinks=True, narrowest=16),
    Column("label", rank=1000, shrinks=True, narrowest=8),
    Column("predicted", rank=999, shrinks=True, narrowest=8),
    Column("probability", right=True, rank=997),
    Column("score", right=True, rank=996),
    Column("same or similar images", rank=990, shrinks=True, narrowest=12, style=QUIET_STYLE),
)


def suspect_table(images: Sequence[Suspect], cells: int | None) -> Text:
    """Return a line for each image; ``cells`` None: unlimited width."""
    return whole_table(_COLUMNS, [*map(_row, images)], cells, keys=2)


def _row(each: Suspect) -> tuple[str, ...]:
    return (
        SUSPECT_SIGN if each.is_suspect else "",
        plain_text(each.path),
        plain_text(each.class_name),
        plain_text(each.predicted),
        percent(each.probability),
        signed(each.score, 2),
        twin_words(each),
    )


def twin_words(each: Suspect) -> str:
    """Return the twins of an image in a few words: the first conflict, or their number."""
    if each.conflicts:
        first, more = each.conflicts[0], len(each.twins) - 1
        others = f", {more:,} more" if more else ""
        return f"{KINDS[first.kind]} labelled {plain_text(first.class_name)}{others}"
    return f"{plural(len(each.twins), 'image')}, same label" if each.twins else ""


def suspect_caption(each: Suspect) -> Text:
    """Return the line below a picture."""
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(
        f"{plain_text(each.class_name)}, predicted {plain_text(each.predicted)} "
        f"{percent(each.probability)}, score {signed(each.score, 2)}"
    )
    if twins := twin_words(each):
        text.append(f"  {twins}", ALARM_STYLE if each.conflicts else QUIET_STYLE)
    return text.append(f"  {plain_text(each.path)}", QUIET_STYLE)


def suspects_summary(suspects: Suspects) -> str:
    """Return how many images are suspects, and of how many, as one line."""
    reach = "reaches" if suspects.suspects == 1 else "reach"
    return (
        f"{suspects.suspects:,} of {plural(suspects.images, 'training image')} {reach} the score "
        f"{signed(suspects.threshold, 2)}, quantile {suspects.quantile:g} of wrong labels; losses "
        f"without dropout at {checkpoints_words(suspects.checkpoints)}"
    )


def checkpoints_words(checkpoints: Sequence[UsedCheckpoint]) -> str:
    """Return the checkpoints whose losses are used, in words."""
    words = []
    for each in checkpoints:
        if each.step is None:
            words.append("the combined network")
        else:
            words.append(f"step {each.step:,} ({'selected' if each.at == 'best' else 'last'})")
    return " and ".join(words)
