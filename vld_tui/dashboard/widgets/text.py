"""Widgets that show styled text: scrollable, or drawn to fit and cached."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from rich.segment import Segment
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget
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


class Drawing(Guarded, Widget):
    """The result of ``lines``, cached until ``redraw`` or another size."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._strips: list[Strip] = []
        self._drawn_for: object = None

    def lines(self, cells: int, rows: int) -> Iterable[list[Segment]]:
        """Return the picture at a size."""
        raise NotImplementedError

    def redraw(self) -> None:
        """Draw again."""
        self._drawn_for = None
        self.refresh()

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return lines of the picture, drawing it again if needed."""
        base = self.rich_style
        if self._drawn_for != (self.size, base):
            self._drawn_for = (self.size, base)
            self._strips = [
                Strip(Segment.apply_style(line, base)).adjust_cell_length(self.size.width, base)
                for line in self.lines(self.size.width, self.size.height)
            ]
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """Return one line of the picture."""
        return (
            self._strips[y]
            if y < len(self._strips)
            else Strip.blank(self.size.width, self.rich_style)
        )
