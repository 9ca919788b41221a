"""An image above a caption, drawn in the terminal.

Importing this queries the terminal's features, which fails while Textual reads from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image as PilImage
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static
from textual_image.renderable import Image as BestRenderable
from textual_image.renderable import UnicodeImage as GreyRenderable
from textual_image.widget import HalfcellImage, Image, UnicodeImage

from vld_tui.words.palette import QUIET_STYLE


class Tile(Vertical):
    """One image above two lines."""

    DEFAULT_CSS = """
    Tile { align-vertical: bottom; }
    Tile > Static { height: 2; }
    Tile.-current > .caption { background: $selection; text-style: bold underline; }
    """

    @dataclass
    class PictureRead(Message):
        """The image was read; None: it cannot be drawn."""

        picture: PilImage.Image | None

    def __init__(self, caption: Text, cells: int) -> None:
        """``cells``: width of the image, which a worker posts as :class:`PictureRead`."""
        super().__init__()
        self._caption, self._cells = caption, cells

    def compose(self) -> ComposeResult:
        """Lay out the caption; the image is put above it."""
        yield Static(self._caption, classes="caption")

    def on_tile_picture_read(self, message: PictureRead) -> None:
        """Draw the image."""
        message.stop()
        if self.is_attached:
            self.mount(self._shown(message.picture), before=0)

    def _shown(self, picture: PilImage.Image | None) -> Widget:
        """Return the image at its aspect ratio; a cell is twice as high as wide."""
        if picture is None:
            return Static(Text("cannot be drawn", QUIET_STYLE))
        drawn = image_kind(is_colourless=self.app.no_color)(picture)
        width, height = picture.size
        longer = max(width, height)
        drawn.styles.width = max(1, round(self._cells * width / longer))
        drawn.styles.height = max(1, round(self._cells * height / longer / 2))
        return drawn


def image_kind(*, is_colourless: bool) -> Callable[[PilImage.Image], Widget]:
    """Return the widget that draws images in the highest resolution here.

    Half blocks if the terminal has no graphics or could not be queried; grey characters
    without colour.
    """
    if is_colourless:
        return UnicodeImage
    return HalfcellImage if BestRenderable is GreyRenderable else Image
