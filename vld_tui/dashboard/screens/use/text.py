"""A result in text: an evaluation, or an exported network."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widgets import Static

from vld_tui.dashboard.guard import Guarded
from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.widgets.ask import copy_path
from vld_tui.dashboard.widgets.key_bar import KeyBar
from vld_tui.dashboard.widgets.text import ScrolledText
from vld_tui.words.palette import HEADING_STYLE


class ResultScreen(Guarded, Screen[None]):
    """A result as text that scrolls, and the path where it is stored."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "escape", "app.pop_screen", "back", show=True),
        bind("copy-path", "Y", "copy_path", "copy path", show=True),
    ]

    def __init__(self, title: str, draw: Callable[[int], Text], path: str) -> None:
        """``draw`` returns the text for a width in cells."""
        super().__init__()
        self._title, self._draw, self._path = title, draw, path

    def compose(self) -> ComposeResult:
        """Lay out the text below its title."""
        yield Static(Text(f" {self._title}", HEADING_STYLE, no_wrap=True), id="status")
        yield ScrolledText(classes="-folds")
        yield KeyBar()

    def on_resize(self) -> None:
        """Fit the text."""
        self.call_after_refresh(self._show)

    def action_copy_path(self) -> None:
        """Copy the path."""
        copy_path(self, self._path)

    def _show(self) -> None:
        text = self.query_one(ScrolledText)
        text.show(self._draw(text.text_cells))
