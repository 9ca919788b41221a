"""Scrollable text."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from vld_tui.dashboard.guard import Guarded
from vld_tui.dashboard.keys import bind


class ScrolledText(Guarded, VerticalScroll, can_focus=True):
    """Text, never read as markup."""

    DEFAULT_CSS = """
    ScrolledText { padding: 0 1; scrollbar-size-vertical: 1; scrollbar-gutter: stable; }
    ScrolledText > Static { height: auto; text-wrap: nowrap; text-overflow: ellipsis; }
    ScrolledText.-folds > Static { text-wrap: wrap; text-overflow: fold; }
    ScrolledText:focus { background: $boost; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("scroll-down", "j", "scroll_down", "scroll down"),
        bind("scroll-up", "k", "scroll_up", "scroll up"),
        bind("first-line", "g", "scroll_home", "first line"),
        bind("last-line", "G", "scroll_end", "last line"),
    ]

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._text = Text()

    @property
    def text(self) -> Text:
        """Return the shown text."""
        return self._text

    @property
    def text_cells(self) -> int:
        """Return the width available for text."""
        return max(20, self.scrollable_content_region.width)

    def compose(self) -> ComposeResult:
        """Lay out the text."""
        yield Static(self._text)

    def show(self, text: Text) -> None:
        """Show another text at the same scroll position."""
        if text != self._text:
            self._text = text
            self.query_one(Static).update(text)
