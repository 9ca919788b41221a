"""Predictions for images: a table, pictures, and a summary."""

from __future__ import annotations

import io
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rich.console import RenderableType
from rich.text import Text

from vld_tui.control.predict import ImagePrediction
from vld_tui.words.columns import Column, styled_table
from vld_tui.words.numbers import UNKNOWN, decimal, percent, plural
from vld_tui.words.palette import ALARM_STYLE, OOD_STYLE, QUIET_STYLE
from vld_tui.words.text import plain_text, shorten

if TYPE_CHECKING:  # a table does without it
    from PIL.Image import Image as Picture

UNSURE: Final = "unsure"
OOD_SIGN: Final = "▲"
"""Marks an image whose OOD score exceeds the threshold."""
PICTURE_CELLS: Final = 24
"""Width of a picture in cells."""
PICTURE_PX: Final = 256
"""Maximum side of a picture in pixels."""
SHOWN_CLASSES: Final = 12
"""Classes that a summary names; the others are counted together."""


class PredictionCounts:
    """How many images were predicted as each class, unsure, unreadable, or unlike the training
    images."""

    def __init__(self) -> None:
        self.images = self.unsure = self.unreadable = self.ood = 0
        self.classes: Counter[str] = Counter()

    def add(self, predictions: Sequence[ImagePrediction]) -> None:
        """Count predictions."""
        for each in predictions:
            self.images += 1
            self.unsure += each.is_unsure
            self.unreadable += each.problem is not None
            self.ood += bool(each.is_ood)
            if each.class_name is not None:
                self.classes[each.class_name] += 1


def summary_line(counts: PredictionCounts) -> str:
    """Return the counts as one line, the most frequent classes first."""
    ranked = counts.classes.most_common()
    parts = [f"{count:,} {plain_text(name)}" for name, count in ranked[:SHOWN_CLASSES]]
    if others := ranked[SHOWN_CLASSES:]:
        of_others = sum(count for _, count in others)
        parts.append(f"{of_others:,} in {plural(len(others), 'other class')}")
    parts += [
        f"{count:,} {what}"
        for count, what in (
            (counts.unsure, UNSURE),
            (counts.unreadable, "unreadable"),
        )
        if count
    ]
    text = f"{plural(counts.images, 'image')}: {', '.join(parts)}"
    if counts.ood:
        text += f"; {counts.ood:,} unlike the training images ({OOD_SIGN})"
    return text


def prediction_table(
    predictions: Sequence[ImagePrediction], cells: int, *, top: int = 1, has_score: bool = False
) -> Text:
    """Return a line for each image.

    Args:
        predictions: in the order of the lines.
        cells: width of the terminal.
        top: number of classes to show.
        has_score: show the OOD score.
    """
    columns = [
        Column("image", rank=98, shrinks=True, narrowest=16),
        Column("class", rank=100, shrinks=True, narrowest=10),
        Column("probability", right=True, rank=99),
        Column("margin", right=True, rank=60),
    ]
    if has_score:
        columns.append(Column("OOD score", right=True, rank=90, style=OOD_STYLE))
    if top > 1:
        columns.append(Column("next", rank=70, shrinks=True, narrowest=10, style=QUIET_STYLE))
    rows = [_row(each, top=top, has_score=has_score) for each in predictions]
    styles = [ALARM_STYLE if each.problem is not None else "" for each in predictions]
    return styled_table(columns, rows, cells, row_styles=styles)


def _row(prediction: ImagePrediction, *, top: int, has_score: bool) -> tuple[str, ...]:
    row = [
        plain_text(prediction.path),
        class_words(prediction),
        percent(prediction.probability),
        percent(prediction.margin),
    ]
    if has_score:
        row.append(f"{decimal(prediction.ood_score)} {OOD_SIGN if prediction.is_ood else ' '}")
    if top > 1:
        row.append(", ".join(_share_words(prediction)) or UNKNOWN)
    return tuple(row)


def _share_words(prediction: ImagePrediction) -> list[str]:
    return [
        f"{plain_text(each.class_name)} {percent(each.probability)}" for each in prediction.top[1:]
    ]


def class_words(prediction: ImagePrediction) -> str:
    """Return the class, or why there is none."""
    if prediction.problem is not None:
        return f"unreadable: {plain_text(prediction.problem)}"
    if prediction.class_name is None:
        best = f" ({plain_text(prediction.top[0].class_name)}?)" if prediction.top else ""
        return f"{UNSURE}{best}"
    return plain_text(prediction.class_name)


def picture_of(path: str, *, is_colourless: bool) -> RenderableType:
    """Return an image as the terminal can draw it, or a text if it cannot be read."""
    from vld_tui.views.thumbnail import thumbnail

    return draw(thumbnail(path, PICTURE_PX), is_colourless=is_colourless)


def draw(picture: Picture | None, *, is_colourless: bool) -> RenderableType:
    """Return a picture as the terminal can draw it, or a text if there is none."""
    if picture is None:
        return Text("cannot be drawn", QUIET_STYLE)
    with _asking_only_terminals():
        from textual_image._terminal import get_cell_size
        from textual_image.renderable import HalfcellImage, UnicodeImage
        from textual_image.renderable import Image as BestPicture

        get_cell_size()  # asks once

    kind = HalfcellImage if BestPicture is UnicodeImage else BestPicture
    kind = UnicodeImage if is_colourless else kind
    return kind(picture, width=PICTURE_CELLS, height="auto")


@contextmanager
def _asking_only_terminals() -> Iterator[None]:
    """Have textual_image not ask for the size of cells where no terminal answers on stdin, or one
    of unknown size does."""
    stdout, stdin = sys.__stdout__, sys.__stdin__
    if (
        stdin is None
        or stdout is None
        or not stdin.isatty()
        or 0 in os.get_terminal_size(stdout.fileno())
    ):
        sys.__stdout__ = io.StringIO()  # type: ignore[assignment, misc]
    try:
        yield
    finally:
        sys.__stdout__ = stdout  # type: ignore[misc]


def caption_of(prediction: ImagePrediction) -> Text:
    """Return the line below a picture."""
    text = Text(f"{class_words(prediction)} ", no_wrap=True, overflow="ellipsis")
    text.append(percent(prediction.probability))
    if prediction.is_ood:
        text.append(f" {OOD_SIGN}", OOD_STYLE)
    return text.append(f"  {plain_text(prediction.path)}", QUIET_STYLE)


def tile_caption(prediction: ImagePrediction, cells: int) -> Text:
    """Return two lines below a picture: its class, and the next one or why there is none."""
    text = Text(no_wrap=True, overflow="crop")
    if prediction.problem is not None:
        text.append(shorten("unreadable", cells), ALARM_STYLE)
        return text.append(f"\n{shorten(plain_text(prediction.problem), cells)}", QUIET_STYLE)
    sign = f" {OOD_SIGN}" if prediction.is_ood else ""
    share = f" {percent(prediction.probability)}"
    text.append(shorten(class_words(prediction), max(1, cells - len(share) - len(sign))))
    text.append(share).append(sign, OOD_STYLE).append("\n")
    if len(prediction.top) > 1:
        second = prediction.top[1]
        share = f" {percent(second.probability)}"
        name = shorten(plain_text(second.class_name), max(1, cells - len(share) - 3))
        text.append(f"or {name}{share}", QUIET_STYLE)
    return text


def prediction_words(prediction: ImagePrediction) -> Text:
    """Return a line about a prediction: its classes, margin and OOD score."""
    if prediction.problem is not None:
        return Text(class_words(prediction), ALARM_STYLE)
    parts = [f"{class_words(prediction)} {percent(prediction.probability)}"]
    parts += _share_words(prediction)
    text = Text(", ".join(parts)).append(f" · margin {percent(prediction.margin)}", QUIET_STYLE)
    if prediction.ood_score is not None:
        text.append(f" · OOD score {decimal(prediction.ood_score)}", QUIET_STYLE)
    if prediction.is_ood:
        text.append(f" {OOD_SIGN} unlike the training images", OOD_STYLE)
    return text
