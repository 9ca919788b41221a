"""The lines of the form: the preset, the fields, and groups of fields that fold."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Static

from engine.protocol import FIELDS, FieldInfo
from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.screens.new_run.knowledge import is_pickable, typed_words
from vld_tui.dashboard.widgets.form import NAME_CELLS, TYPED_MARK, FieldLine, FormField
from vld_tui.words.numbers import plural
from vld_tui.words.palette import ALARM_STYLE, HEADING_STYLE, QUIET_STYLE
from vld_tui.words.text import plain_text

PAPER_RATES: Final = (0.0, 0.5, 0.9, 0.95)
"""Dropout rates of the paper (Zhang & Bottou, arXiv 2403.00946, section 4)."""
_NOTES: Final = {"seed": "Several seeds, such as 0,1,2, start several runs."}


class PresetLine(Static, can_focus=True):
    """Shows which preset was loaded, and whether anything changed since.

    ``enter`` or a click lists all presets.
    """

    DEFAULT_CSS = """
    PresetLine { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    PresetLine:hover { background: $boost; }
    PresetLine:focus { background: $selection; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("list-presets", "enter,space", "list", "list presets")
    ]

    @dataclass
    class ListAsked(Message):
        """The user wants to see the presets."""

    def on_click(self) -> None:
        """List the presets."""
        self.action_list()

    def action_list(self) -> None:
        """List the presets."""
        self.post_message(self.ListAsked())

    def show(self, title: str, name: str | None, *, is_changed: bool, count: int) -> None:
        """Show the form's title, the preset, and the number of presets."""
        line = Text("  ", no_wrap=True)
        line.append(plain_text(title), HEADING_STYLE)
        line.pad_right(max(2, NAME_CELLS - line.cell_len))
        if name is None:
            there = f"{plural(count, 'preset')} available ▾" if count else "no presets yet"
            line.append(f"{there} · ctrl+s saves these values as a preset", QUIET_STYLE)
        else:
            line.append("preset ", QUIET_STYLE).append(plain_text(name), HEADING_STYLE)
            line.append(" (changed)" if is_changed else "", QUIET_STYLE).append(" ▾", QUIET_STYLE)
        self.update(line)


class GroupTitle(Static, can_focus=True):
    """The title of a group; ``enter``, ``space`` or a click unfolds it."""

    DEFAULT_CSS = """
    GroupTitle { height: 1; width: 100%; text-wrap: nowrap; text-overflow: ellipsis; }
    GroupTitle:hover { background: $boost; }
    GroupTitle:focus { background: $selection; }
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
        self._hidden: Collection[str] = ()
        self._told = ""

    def compose(self) -> ComposeResult:
        """Lay out the title; the fields are created when first unfolded."""
        yield GroupTitle()

    def on_mount(self) -> None:
        """Show the summary."""
        self.say({}, ())

    def unfold(self, is_wanted: bool) -> None:
        """Show or hide the fields."""
        self.is_unfolded = is_wanted
        if is_wanted and self._lines[0].parent is None:
            self.mount_all(self._lines)
        if is_wanted:
            self.call_after_refresh(self.scroll_visible)
        self.say(self._problems, self._hidden)

    def say(self, problems: Mapping[str, str], hidden: Collection[str]) -> None:
        """Show which fields were changed, and what is wrong.

        Args:
            problems: by field.
            hidden: fields that are not shown even if the group is unfolded.
        """
        self._problems, self._hidden = problems, hidden
        shown = [line for line in self._lines if line.field.name not in hidden]
        for line in self._lines:
            line.display = self.is_unfolded and line in shown
        typed = {line.field.name: line.typed for line in shown}
        changed = {name: text for name, text in typed.items() if text is not None}
        mark = TYPED_MARK if changed else " "
        title = Text(no_wrap=True)
        title.append(f"{mark} {'▾' if self.is_unfolded else '▸'} {self.group}", HEADING_STYLE)
        title.pad_right(max(1, NAME_CELLS - title.cell_len))
        mine = [problems[line.field.name] for line in self._lines if line.field.name in problems]
        if mine:
            title.append(plain_text(mine[0]), ALARM_STYLE)
        elif changed and not self.is_unfolded:
            title.append(plain_text(typed_words(changed)))
        elif not self.is_unfolded:
            names = " ".join(FIELDS[name].label for name in typed)
            title.append(f"{plural(len(shown), 'field')} at defaults: {names}", QUIET_STYLE)
        elif len(shown) < len(self._lines):
            idle = plural(len(self._lines) - len(shown), "field")
            title.append(f"hidden: {idle} without effect", QUIET_STYLE)
        if title.markup != self._told:
            self._told = title.markup
            self.query_one(GroupTitle).update(title)


def hint(info: FieldInfo) -> str:
    """Return the full help of a field, with range and unit."""
    allowed = info.allowed if info.allowed != "text" else ""
    if info.unit:
        allowed = f"{allowed}; unit: {info.unit}" if allowed else f"unit: {info.unit}"
    help_text = info.help if info.name not in _NOTES else f"{info.help} {_NOTES[info.name]}"
    return f"{info.flag}  {help_text}" + (f" [{allowed}]" if allowed else "")


def form_field(info: FieldInfo) -> FormField:
    """Return how the form shows a field."""
    return FormField(
        info.name,
        info.flag.removeprefix("--"),
        _note(info),
        is_pickable=is_pickable(info.name),
        stops=PAPER_RATES if info.name == "dropout_rate" else (),
    )


def _note(info: FieldInfo) -> str:
    return _NOTES.get(info.name, info.help)
