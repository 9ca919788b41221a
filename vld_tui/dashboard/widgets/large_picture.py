"""An image as large as the screen allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical

from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.widgets.ask import copy_path
from vld_tui.dashboard.widgets.dialog import Dialog
from vld_tui.dashboard.widgets.tile_grid import tile_module

if TYPE_CHECKING:
    from PIL.Image import Image


class LargePicture(Dialog[None]):
    """An image above two lines that describe it; ``path`` is that of its file."""

    DEFAULT_CSS = """
    LargePicture > .frame { width: 100%; }
    LargePicture Tile { height: auto; }
    LargePicture .caption { width: 100%; text-wrap: nowrap; text-overflow: ellipsis; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "escape,enter", "dismiss(None)", "back", key_display="esc", show=True),
        bind("copy-path", "Y", "copy_path", "copy path", show=True),
    ]

    def __init__(self, description: Text, read: Callable[[], Image | None], path: str) -> None:
        super().__init__()
        self._description, self._read_picture, self._path = description, read, path

    def compose(self) -> ComposeResult:
        """Lay out the picture above its description."""
        width, height = self.app.size
        cells = max(8, min(width - 4, 2 * (height - 6)))
        with Vertical(classes="frame"):
            yield tile_module(self.app).Tile(self._description, cells)

    def on_mount(self) -> None:
        """Read the picture."""
        self._draw()

    def action_copy_path(self) -> None:
        """Copy the path of the image."""
        if self._path:
            copy_path(self, self._path)

    @work(thread=True)
    def _draw(self) -> None:
        from vld_tui.dashboard.widgets.tile import Tile

        tile = self.query_one(Tile)
        tile.post_message(tile.PictureRead(self._read_picture()))
