"""Runs side by side, moved through run by run; the labels and the names of the runs stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import BindingType
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from vld_tui.dashboard.guard import Guarded
from vld_tui.dashboard.keys import bind
from vld_tui.views.compare import Comparison, Section, section_from
from vld_tui.words.columns import GAP
from vld_tui.words.palette import HEADING_STYLE, QUIET_STYLE

EMPTY = Comparison((), ())


class CompareTable(Guarded, ScrollView, can_focus=True, inherit_bindings=False):
    """A comparison of which whole columns are shown."""

    DEFAULT_CSS = """
    CompareTable { padding: 0 1; overflow-x: hidden; scrollbar-size-vertical: 1; }
    CompareTable:focus { background: $boost; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("run-before", "left,h", "move(-1)", "previous run", key_display="←", show=True),
        bind("run-after", "right,l", "move(1)", "next run", key_display="→", show=True),
        bind("first-run", "home", "move_to_end(False)", "first run"),
        bind("last-run", "end", "move_to_end(True)", "last run"),
        bind("scroll-down", "down,j", "scroll_down", "scroll down"),
        bind("scroll-up", "up,k", "scroll_up", "scroll up"),
        bind("page-down", "pagedown", "page_down", "page down"),
        bind("page-up", "pageup", "page_up", "page up"),
        bind("first-line", "g", "scroll_home", "first line"),
        bind("last-line", "G", "scroll_end", "last line"),
    ]

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._table = EMPTY
        self._colours: tuple[str, ...] = ()
        self._first = 0
        self._section: tuple[int, Section] | None = None

    def show(self, table: Comparison, styles: Sequence[str] = ()) -> None:
        """Show a comparison; ``styles`` are those of the names of its columns."""
        self._table, self._colours = table, tuple(styles)
        self._first = max(0, min(self._first, len(table.headings) - 1))
        self._redraw()

    def action_move(self, runs: int) -> None:
        """Start at the next run, or at the previous one."""
        if runs > 0 and self._shown.stop >= len(self._table.headings):
            return
        self._first = max(0, self._first + runs)
        self._redraw()

    def action_move_to_end(self, is_last: bool) -> None:
        """Show the first runs, or the last ones."""
        self._first = 0
        if is_last:
            cells, count = self._cells, len(self._table.headings)
            while section_from(self._table, self._first, cells).stop < count:
                self._first += 1
        self._redraw()

    def on_resize(self) -> None:
        """Fit the table."""
        self._redraw()

    def render_line(self, y: int) -> Strip:
        """Return one line: of the heading, which stays in place, or of a row."""
        section, base = self._shown, self.rich_style
        index = y if y < section.heads else y + round(self.scroll_y)
        if not self._table.headings or index >= len(section.lines):
            return Strip.blank(self.size.width, base)
        is_heading = index < section.heads
        label, *cells = section.lines[index]
        segments = [Segment(label, Style.parse(QUIET_STYLE) if is_heading else Style.null())]
        for at, cell in enumerate(cells, section.first):
            style = f"{HEADING_STYLE} {self._colours[at] if at < len(self._colours) else ''}"
            segments.append(Segment(GAP + cell, Style.parse(style) if is_heading else None))
        line = Strip(Segment.apply_style(segments, base))
        return line.adjust_cell_length(self.size.width, base)

    @property
    def _cells(self) -> int:
        return max(20, self.scrollable_content_region.width)

    @property
    def _shown(self) -> Section:
        if self._section is None or self._section[0] != self._cells:
            self._section = self._cells, section_from(self._table, self._first, self._cells)
        return self._section[1]

    def _redraw(self) -> None:
        self._section = None
        if self._table.headings:
            lines = len(self._shown.lines)
            self.virtual_size = Size(0, lines)
            self.styles.height = lines
        self.refresh()
