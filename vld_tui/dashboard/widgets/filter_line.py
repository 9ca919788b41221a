"""A line that filters a list while it is typed, and one that filters rows of text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input, Static
from textual.worker import get_current_worker

from vld_tui.dashboard.guard import Guarded
from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.widgets.ask import PlainInput
from vld_tui.dashboard.widgets.key_bar import KeyField
from vld_tui.store.errors import QueryError
from vld_tui.store.row_filter import Row, RowFilter, field_names
from vld_tui.words.palette import ALARM_STYLE, HEADING_STYLE, QUIET_STYLE
from vld_tui.words.text import common_beginning, plain_text

PAUSE_S: Final = 0.12
"""Time without a key after which the list is filtered."""
MOST_PROPOSED: Final = 20
"""Continuations that are shown together."""
MOST_KEPT: Final = 50
"""Former filters that the arrows go through."""
Completer = Callable[[str], Sequence[str]]
"""Returns the continuations of a text that begin with it; it may block."""


class FilterInput(PlainInput, KeyField):
    """Where the filter is typed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("keep-filter", "enter", "submit", "keep", show=True),
        bind("back", "escape", "leave", "back", show=True),
        bind("complete-filter", "tab", "complete", "complete", show=True),
        bind("previous-filter", "up", "go(-1)", "previous filter", key_display="↑↓", show=True),
        bind("next-filter", "down", "go(1)", "next filter"),
    ]

    class Left(Message):
        """The user gave up."""

    class Asked(Message):
        """The user wants the text completed, or an earlier (−1) or later (1) one."""

        def __init__(self, step: int = 0) -> None:
            super().__init__()
            self.step = step

    def action_leave(self) -> None:
        """Give up."""
        self.post_message(self.Left())

    def action_complete(self) -> None:
        """Complete the last word."""
        self.post_message(self.Asked())

    def action_go(self, step: int) -> None:
        """Take a former filter."""
        self.post_message(self.Asked(step))


class FilterLine(Guarded, Vertical):
    """A filter above a remark: how many match, what is wrong, or continuations.

    Closed until :meth:`open`. ``enter`` keeps the filter, ``escape`` restores the former one.
    """

    DEFAULT_CSS = """
    FilterLine { height: auto; display: none; padding: 0 1; background: $boost; }
    FilterLine.-open { display: block; }
    FilterLine Horizontal { height: 1; }
    FilterLine .prompt { width: auto; }
    FilterLine FilterInput { border: none; height: 1; padding: 0; width: 1fr; background: $boost; }
    FilterLine .remark { height: auto; min-height: 1; max-height: 4; text-overflow: fold; }
    """

    class Typed(Message):
        """The filter changed."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Kept(Typed):
        """The user wants to keep the filter; the owner closes the line if it is valid."""

    class Restored(Typed):
        """The user gave up; ``text`` is the former filter. The line is closed."""

    def __init__(self, complete: Completer | None = None, example: str = "", **kw: Any) -> None:
        super().__init__(**kw)
        self._complete, self._example = complete, example
        self._former = ""
        self._seen = ""
        self._kept: list[str] = []
        self._at = 0
        self._timer: Timer | None = None
        self._proposed: tuple[str, ...] = ()
        self._proposed_for = ""

    def compose(self) -> ComposeResult:
        """Lay out the filter above the remark."""
        with Horizontal():
            yield Static(Text("filter  ", HEADING_STYLE), classes="prompt")
            field = FilterInput(placeholder=self._example, compact=True, select_on_focus=False)
            field.disabled = True  # or it might get the focus of a widget that is hidden
            yield field
        yield Static(classes="remark")

    @property
    def is_open(self) -> bool:
        """Return whether the filter is being typed."""
        return self.has_class("-open")

    @property
    def kept(self) -> tuple[str, ...]:
        """Return the former filters, the latest last."""
        return tuple(self._kept)

    def set_kept(self, filters: Sequence[str]) -> None:
        """Set the former filters, the latest last."""
        self._kept = list(filters)

    def open(self, text: str) -> None:
        """Begin to type; the keys that follow are text."""
        self._former = self._seen = text
        self._at, self._proposed, self._proposed_for = len(self._kept), (), ""
        self._say("")
        with self._input.prevent(Input.Changed):
            self._input.value = text
        self._input.cursor_position = len(text)
        self.add_class("-open")
        self._input.disabled = False
        self.screen.set_focus(self._input)

    def close(self) -> None:
        """End typing, and remember the filter for the arrows."""
        self._stop()
        self._hide()
        if text := self._input.value.strip():
            self._kept = [*(each for each in self._kept if each != text), text][-MOST_KEPT:]

    def _hide(self) -> None:
        self.remove_class("-open")
        self._input.disabled = True

    def remark(self, text: str, *, is_wrong: bool = False) -> None:
        """Show a remark below the filter, unless continuations of it are shown there."""
        if not self._input.value or self._input.value != self._proposed_for:
            self._say(text, is_wrong=is_wrong)

    def _say(self, text: str, *, is_wrong: bool = False) -> None:
        shown = Text(
            plain_text(" ".join(text.split("\n"))), ALARM_STYLE if is_wrong else QUIET_STYLE
        )
        self.query_one(".remark", Static).update(shown)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter once no key has been pressed for a moment."""
        event.stop()
        self._stop()
        self._timer = self.set_timer(PAUSE_S, self._tell)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Ask to keep the filter."""
        event.stop()
        self.submit()

    def submit(self) -> None:
        """Ask to keep the filter."""
        self._tell()
        self.post_message(self.Kept(self._input.value.strip()))

    def on_filter_input_left(self) -> None:
        """Restore the former filter."""
        self._stop()
        self._hide()
        self.post_message(self.Restored(self._former))

    def on_filter_input_asked(self, message: FilterInput.Asked) -> None:
        """Complete the text, or replace it by a former one."""
        if not message.step:
            self._propose()
            return
        at = max(0, min(len(self._kept), self._at + message.step))
        if at != self._at:
            self._at = at
            self._write(self._kept[at] if at < len(self._kept) else self._former)

    def _propose(self) -> None:
        """Complete the last word, or take the next continuation."""
        if self._complete is None:
            return
        typed = self._input.value
        if typed in self._proposed and len(self._proposed) > 1:
            following = self._proposed.index(typed) + 1
            self._write(self._proposed[following % len(self._proposed)], is_proposed=True)
        elif len(self._proposed) > 1 and typed == common_beginning(self._proposed):
            self._write(self._proposed[0], is_proposed=True)
        else:
            self._find(typed)

    @work(thread=True, exclusive=True)
    def _find(self, typed: str) -> None:
        """Look for continuations, which may need the database."""
        worker, app = get_current_worker(), self.app
        found = tuple(self._complete(typed)) if self._complete is not None else ()
        if not worker.is_cancelled:
            app.call_from_thread(self._offer, typed, found)

    def _offer(self, typed: str, found: tuple[str, ...]) -> None:
        """Write what the continuations have in common, and show them."""
        if typed != self._input.value or not self.is_open:
            return
        self._proposed = found
        common = common_beginning(found)
        if len(common) >= len(typed) and common != typed:
            self._write(common, is_proposed=True)
        if len(found) == 1:
            self._proposed = ()
        elif found:
            start = max(typed.rfind(sign) for sign in " (|") + 1
            self._proposed_for = self._input.value
            self._say("  ".join(each[start:] for each in found[:MOST_PROPOSED]))
        else:
            self._proposed_for = self._input.value
            self._say("nothing to complete")

    def _write(self, text: str, *, is_proposed: bool = False) -> None:
        if not is_proposed:
            self._proposed = ()
        self._input.value = text
        self._input.cursor_position = len(text)

    def _tell(self) -> None:
        """Post the filter, if it changed."""
        self._stop()
        text = self._input.value.strip()
        if text != self._seen:
            self._seen = text
            self.post_message(self.Typed(text))

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    @property
    def _input(self) -> FilterInput:
        return self.query_one(FilterInput)


class RowFilterLine(FilterLine):
    """Filters the rows of a list by the text of its columns.

    The owner shows the rows that :meth:`select` returns whenever :class:`Changed` is posted.
    """

    class Changed(Message):
        """Other rows match."""

    def __init__(self, columns: Sequence[str], **kw: Any) -> None:
        super().__init__(self._continuations, "text, column:text or /expression/", **kw)
        self._columns = tuple(columns)
        self._filter, self._filter_text = RowFilter.parse("", columns), ""
        self._focused_before: Widget | None = None
        self._is_wrong = False

    @property
    def is_filtered(self) -> bool:
        """Return whether a filter hides rows."""
        return bool(self._filter_text)

    def begin(self) -> None:
        """Type the filter; afterwards the focus returns to where it was."""
        self._focused_before = self.screen.focused
        self._is_wrong = False
        self.open(self._filter_text)
        self.post_message(self.Changed())

    def clear(self) -> bool:
        """Show every row again; return whether a filter hid some."""
        had_filter = self.is_filtered
        self._set("")
        return had_filter

    def select(self, rows: Sequence[Row]) -> list[int]:
        """Return the places of the rows that match, and show how many do."""
        try:
            found = self._filter.select(rows)
        except QueryError as error:
            self.remark(str(error), is_wrong=True)
            return [*range(len(rows))]
        if self.is_open and not self._is_wrong:
            self.remark(f"{len(found):,} of {len(rows):,}")
        return found

    def summary(self, found: int, rows: int) -> str:
        """Return the filter with its count, for the heading of the list; empty without one."""
        if not self._filter_text or self.is_open:
            return ""
        return f" · filter {plain_text(self._filter_text)} · {found:,} of {rows:,} · esc clears it"

    def on_filter_line_typed(self, message: FilterLine.Typed) -> None:
        """Show what matches so far; an invalid filter changes nothing."""
        message.stop()
        self._set(message.text)

    def on_filter_line_kept(self, message: FilterLine.Kept) -> None:
        """Return to the list, unless the filter is invalid."""
        message.stop()
        if self._set(message.text):
            self.close()
            self._return()

    def on_filter_line_restored(self, message: FilterLine.Restored) -> None:
        """Return to the list as it was."""
        message.stop()
        self._set(message.text)
        self._return()

    def on_descendant_blur(self) -> None:
        """Keep the filter when the user clicks elsewhere."""
        if self.is_open and self.screen.focused is not None:
            self._focused_before = self.screen.focused
            self.submit()

    def _set(self, text: str) -> bool:
        """Filter the list; return whether the filter is valid."""
        try:
            found = RowFilter.parse(text, self._columns)
        except QueryError as error:
            self._is_wrong = True
            self.remark(str(error), is_wrong=True)
            return False
        self._filter, self._filter_text, self._is_wrong = found, text, False
        self.post_message(self.Changed())
        return True

    def _return(self) -> None:
        self.screen.set_focus(self._focused_before)
        self.post_message(self.Changed())

    def _continuations(self, text: str) -> list[str]:
        """Return the text with its last word completed to a column."""
        start = max(text.rfind(sign) for sign in " (|!-") + 1
        begun = text[start:].casefold()
        names = field_names(self._columns)
        return [f"{text[:start]}{name}:" for name in names if name.startswith(begun)]
