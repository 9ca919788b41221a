"""A log that can be followed and searched; only visible lines are drawn."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Input, Static

from vld_tui.dashboard.draw.log import log_line, log_state
from vld_tui.dashboard.guard import Guarded
from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.widgets.key_bar import KeyField
from vld_tui.words.palette import ORANGE
from vld_tui.words.text import width

EMPTY: Final = "The log is empty."
HIT_STYLE: Final = Style(reverse=True)
CURRENT_STYLE: Final = Style(reverse=True, bold=True, color=ORANGE)
WIDEST_CELLS: Final = 2_000
"""Longer lines are cut."""


class LogLines(Guarded, ScrollView, can_focus=True):
    """The lines of the log."""

    DEFAULT_CSS = """
    LogLines { height: 1fr; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 1; }
    LogLines:focus { background: $boost; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("scroll-down", "j", "scroll_down", "scroll down"),
        bind("scroll-up", "k", "scroll_up", "scroll up"),
        bind("first-line", "g", "scroll_home", "first line"),
        bind("last-line", "G", "scroll_end", "last line"),
    ]

    class Moved(Message):
        """Other lines became visible."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.lines: Sequence[str] = ()
        self.is_followed = True
        self.searched = ""
        self.hits: list[int] = []
        self.hit: int | None = None

    def set_lines(self, lines: Sequence[str]) -> None:
        """Show these lines, scrolled to the end if the log is followed."""
        self.lines = lines
        self._find()
        cells = max((width(line[:WIDEST_CELLS]) for line in lines), default=0)
        self.virtual_size = Size(cells, len(lines))
        self.refresh()
        if self.is_followed:
            self.follow()

    def on_resize(self) -> None:
        """Keep the end visible if it is followed."""
        if self.is_followed:
            self.call_after_refresh(self.follow)

    def follow(self) -> None:
        """Scroll to the end, and stay there as lines are added."""
        self.is_followed = True
        self.scroll_end(animate=False, immediate=True, x_axis=False)

    def search(self, text: str) -> None:
        """Search for a text, ignoring case, and scroll to the first match at or below the top."""
        self.searched, self.hit = text, None
        self._find()
        if self.hits:
            at = bisect_left(self.hits, self.scroll_offset.y)
            self._go_to(self.hits[at % len(self.hits)])
        self.refresh()

    def next_hit(self, step: int) -> None:
        """Scroll to the next (1) or previous (−1) match, cyclically."""
        if self.hits:
            at = bisect_left(self.hits, -1 if self.hit is None else self.hit)
            self._go_to(self.hits[(at + step) % len(self.hits)])

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Follow the log only when scrolled to its end."""
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self.is_followed = new_value >= self.max_scroll_y
            self.post_message(self.Moved())

    def render_line(self, y: int) -> Strip:
        """Return one visible line."""
        base, (left, top) = self.rich_style, self.scroll_offset
        cells, index = self.scrollable_content_region.width, top + y
        if index >= len(self.lines):
            text = EMPTY if not self.lines and y == 0 else ""
            return Strip([Segment(text, base)]).adjust_cell_length(cells, base)
        style = CURRENT_STYLE if index == self.hit else HIT_STYLE
        line = log_line(self.lines[index][:WIDEST_CELLS], self.searched, style)
        strip = Strip(Segment.apply_style(line, base))
        return strip.crop_extend(left, left + cells, base)

    def _find(self) -> None:
        wanted = self.searched.casefold()
        self.hits = (
            [at for at, line in enumerate(self.lines) if wanted in line.casefold()]
            if wanted
            else []
        )
        if self.hit not in self.hits:
            self.hit = None

    def _go_to(self, index: int) -> None:
        self.hit = index
        above = self.scrollable_content_region.height // 3
        self.scroll_to(y=max(0, index - above), animate=False, immediate=True)
        self.refresh()


class SearchInput(KeyField):
    """Takes the text to search for; ``esc`` cancels."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("accept", "enter", "submit", "accept", show=True),
        bind("back", "escape", "give_up", "back", show=True),
    ]

    def action_give_up(self) -> None:
        """Cancel the search."""
        self.value = ""
        self.post_message(Input.Submitted(self, ""))


class LogPane(Guarded, Vertical):
    """The end of a log below a line with the state of the view."""

    DEFAULT_CSS = """
    LogPane { height: 1fr; }
    LogPane > Static { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    LogPane > SearchInput { height: 1; border: none; padding: 0 1; display: none; }
    LogPane.-searching > SearchInput { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("follow", "F", "follow", "follow", show=True),
        bind("search", "slash", "search", "search", key_display="/", show=True),
        bind("next-match", "n", "next_hit(1)", "next match"),
        bind("previous-match", "N", "next_hit(-1)", "previous match"),
    ]

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._is_cut = False

    def compose(self) -> ComposeResult:
        """Lay out the state, the lines and the search input."""
        yield Static()
        yield LogLines()
        yield SearchInput(placeholder="search the log", select_on_focus=True)

    @property
    def lines(self) -> LogLines:
        """Return the widget that shows the lines."""
        return self.query_one(LogLines)

    def show(self, lines: Sequence[str], *, is_cut: bool) -> None:
        """Show a log; ``is_cut``: these are not its first lines."""
        self._is_cut = is_cut
        if lines != self.lines.lines:
            self.lines.set_lines(lines)
        self.show_state()

    def show_state(self) -> None:
        """Show the number of lines, whether they are followed, and the current match."""
        view = self.lines
        place = None if view.hit is None else view.hits.index(view.hit) + 1
        self.query_one(Static).update(
            log_state(
                len(view.lines),
                is_cut=self._is_cut,
                is_followed=view.is_followed,
                searched=view.searched,
                hits=len(view.hits),
                place=place,
                is_wide=view.virtual_size.width > view.size.width > 0,
            )
        )

    def on_log_lines_moved(self) -> None:
        """Show whether the log is still followed."""
        self.show_state()

    def action_follow(self) -> None:
        """Follow the log, or stop following it."""
        if self.lines.is_followed:
            self.lines.is_followed = False
        else:
            self.lines.follow()
        self.show_state()

    def action_search(self) -> None:
        """Open the search input."""
        self.add_class("-searching")
        self.screen.set_focus(self.query_one(SearchInput))  # immediately: the next keys are text

    def action_next_hit(self, step: int) -> None:
        """Scroll to the next or previous match."""
        self.lines.next_hit(step)
        self.show_state()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Search for the text."""
        event.stop()
        self.remove_class("-searching")
        self.screen.set_focus(self.lines)
        self.lines.search(event.value)
        self.show_state()
