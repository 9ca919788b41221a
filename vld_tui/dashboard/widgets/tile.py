"""A misclassified image, drawn in the terminal.

Importing this queries the terminal's features, which fails while Textual reads from it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Final

from PIL import Image as PilImage
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Static
from textual_image.renderable import Image as BestRenderable
from textual_image.renderable import UnicodeImage as GreyRenderable
from textual_image.widget import HalfcellImage, Image, UnicodeImage

from engine.protocol import WrongImage
from vld_tui.views.predictions import caption
from vld_tui.words.palette import ID_STYLE, OOD_STYLE, QUIET_STYLE

FORMATS: Final = ("WEBP", "PNG")
WIDEST_PX: Final = 512
"""Maximum size of a picture written by the engine."""


class Tile(Vertical):
    """One image above its true and predicted class."""

    DEFAULT_CSS = "Tile > Static { height: 2; }"

    def __init__(self, wrong: WrongImage, classes: Sequence[str], cells: int) -> None:
        super().__init__()
        self._wrong, self._class_names, self._cells = wrong, classes, cells

    def compose(self) -> ComposeResult:
        """Lay out the image above two lines."""
        yield self._drawn()
        wrong = self._wrong
        label, guess = caption(
            self._class_names[wrong.label], self._class_names[wrong.predicted],
            wrong.confidence, self._cells,
        )  # fmt: skip
        text = Text(no_wrap=True, overflow="crop").append(label, ID_STYLE)
        yield Static(text.append(f"\n{guess}", OOD_STYLE))

    def _drawn(self) -> Widget:
        picture = _decode(self._wrong.picture)
        if picture is None:
            drawn: Widget = Static(Text("cannot be drawn", QUIET_STYLE))
        else:
            drawn = image_kind(is_colourless=self.app.no_color)(picture)
        drawn.styles.width, drawn.styles.height = self._cells, self._cells // 2
        return drawn


def image_kind(*, is_colourless: bool) -> Callable[[PilImage.Image], Widget]:
    """Return the widget that draws images in the highest resolution here.

    Half blocks if the terminal has no graphics or could not be queried; grey characters
    without colour.
    """
    if is_colourless:
        return UnicodeImage
    return HalfcellImage if BestRenderable is GreyRenderable else Image


def _decode(data: bytes) -> PilImage.Image | None:
    """Return a picture; None if invalid or too large."""
    try:
        with PilImage.open(io.BytesIO(data), formats=FORMATS) as picture:
            if max(picture.size) > WIDEST_PX:
                return None
            return picture.convert("RGB")
    except (OSError, ValueError, SyntaxError):
        return None
