"""Groups of fields that can be folded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import Static

from engine.protocol import FIELDS
from vld_tui.dashboard.bindings import bind
from vld_tui.dashboard.screens.new_run.choices import typed_words
from vld_tui.dashboard.screens.new_run.lines import NAME_CELLS, TYPED_MARK, FieldLine
from vld_tui.words.numbers import plural
from vld_tui.words.palette import ALARM_STYLE, HEADING_STYLE, QUIET_STYLE
from vld_tui.words.text import plain_text


class GroupTitle(Static, can_focus=True):
    """The title of a group; ``enter``, ``space`` or a click unfolds it."""

    DEFAULT_CSS = """
    GroupTitle { height: 1; width: 100%; text-wrap: nowrap; text-overflow: ellipsis; }
    GroupTitle:hover { background: $boost; }
    GroupTitle:focus { background: $primary 40%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("toggle-group", "enter,space", "switch", "fold or unfold"),
        bind("unfold", "right", "unfold(True)", "unfold"),
        bind("fold", "left", "unfold(False)", "fold"),
    ]

    def on_click(self) -> None:
        """Fold or unfold."""
        self.action_switch()

    def action_switch(self) -> None:
        """Fold or unfold."""
        if isinstance(self.parent, FieldGroup):
            self.parent.unfold(not self.parent.is_unfolded)

    def action_unfold(self, is_wanted: bool) -> None:
        """Fold or unfold."""
        if isinstance(self.parent, FieldGroup):
            self.parent.unfold(is_wanted)


class FieldGroup(Vertical):
    """The fields of a group that are folded by default."""

    DEFAULT_CSS = "FieldGroup { height: auto; }"

    def __init__(self, group: str, lines: Sequence[FieldLine]) -> None:
        super().__init__()
        self.group, self._lines = group, tuple(lines)
        self.is_unfolded = False
        self._problems: Mapping[str, str] = {}
        self._told = ""

    def compose(self) -> ComposeResult:
        """Lay out the title; the fields are created when first unfolded."""
        yield GroupTitle()

    def on_mount(self) -> None:
        """Show the summary."""
        self.say({})

    def unfold(self, is_wanted: bool) -> None:
        """Show or hide the fields."""
        self.is_unfolded = is_wanted
        if is_wanted and self._lines[0].parent is None:
            self.mount_all(self._lines)
        for line in self._lines:
            line.display = is_wanted
        if is_wanted:
            self.call_after_refresh(self.scroll_visible)
        self.say(self._problems)

    def say(self, problems: Mapping[str, str]) -> None:
        """Show which fields were changed, and what is wrong; ``problems`` are by field."""
        self._problems = problems
        typed = {line.info.name: line.typed for line in self._lines}
        changed = {name: text for name, text in typed.items() if text is not None}
        mark = TYPED_MARK if changed else " "
        title = Text(no_wrap=True)
        title.append(f"{mark} {'▾' if self.is_unfolded else '▸'} {self.group}", HEADING_STYLE)
        title.pad_right(max(1, NAME_CELLS - title.cell_len))
        mine = [problems[line.info.name] for line in self._lines if line.info.name in problems]
        if mine:
            title.append(plain_text(mine[0]), ALARM_STYLE)
        elif changed and not self.is_unfolded:
            title.append(plain_text(typed_words(changed)))
        elif not self.is_unfolded:
            names = " ".join(FIELDS[name].label for name in typed)
            title.append(f"{plural(len(self._lines), 'field')} at defaults: {names}", QUIET_STYLE)
        if title.markup != self._told:
            self._told = title.markup
            self.query_one(GroupTitle).update(title)
