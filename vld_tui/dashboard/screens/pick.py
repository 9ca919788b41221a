"""Pick from a list: one of many values, or the columns of the table of runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.strip import Strip
from textual.widgets import Input, OptionList, SelectionList, Static
from textual.widgets.option_list import Option
from textual.widgets.selection_list import Selection

from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.widgets.ask import PlainInput, confirm
from vld_tui.dashboard.widgets.dialog import Dialog
from vld_tui.dashboard.widgets.key_bar import KeyBar
from vld_tui.store.fields import shown_name
from vld_tui.views.run_columns import RUN_COLUMNS, USUAL_COLUMNS
from vld_tui.words.columns import GAP
from vld_tui.words.palette import HEADING_STYLE, QUIET_STYLE
from vld_tui.words.text import fit, plain_text, width

MOST_SHOWN: Final = 200
OTHER_LINES: Final = 6
"""Lines above and below the list."""


@dataclass(frozen=True)
class PickOption:
    """A value and the columns that describe it, starting with its name.

    ``is_near``: available on this machine; others are dimmed.
    """

    value: str
    columns: tuple[str, ...]
    is_near: bool = True


class _Options(OptionList, can_focus=False):
    """The list; the filter keeps the focus."""


class Pick(Dialog[str | None]):
    """Returns the picked value, or None.

    ``drop`` deletes a value, if that is possible.
    """

    DEFAULT_CSS = """
    Pick > .frame { width: 104; }
    Pick Input { border: none; height: 1; padding: 0; background: $boost; }
    Pick OptionList { border: none; height: auto; padding: 0; background: $panel; }
    Pick #remark { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "escape", "dismiss(None)", "back", show=True),
        bind("accept", "enter", "take", "accept", show=True, priority=True),
        bind("line-up", "up", "move('cursor_up')", "line up"),
        bind("line-down", "down", "move('cursor_down')", "line down"),
        bind("page-up", "pageup", "move('page_up')", "page up"),
        bind("page-down", "pagedown", "move('page_down')", "page down"),
        bind("delete-preset", "ctrl+d", "drop", "delete", show=True, priority=True),
    ]

    def __init__(
        self,
        title: str,
        choices: Sequence[PickOption],
        *,
        current: str,
        remark: str = "",
        drop: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__()
        self._title, self._choices, self._current = title, tuple(choices), current
        self._remark, self._drop = remark, drop
        self._shown: tuple[PickOption, ...] = ()

    def compose(self) -> ComposeResult:
        """Lay out the filter above the list."""
        with Vertical(classes="frame"):
            yield Static(Text(self._title, HEADING_STYLE))
            yield PlainInput(placeholder="type to search", compact=True)
            yield _Options(markup=False)
            yield Static(id="remark")
            yield KeyBar()

    def on_mount(self) -> None:
        """Start at the current value."""
        self._show()

    def on_resize(self) -> None:
        """Fit the list and its columns."""
        self._options.styles.max_height = max(1, self.size.height * 9 // 10 - OTHER_LINES)
        self._show()

    def set_choices(self, choices: Sequence[PickOption], remark: str = "") -> None:
        """Replace the choices when more is known; the cursor stays on its choice."""
        if (tuple(choices), remark) == (self._choices, self._remark):
            return
        is_shown = self.is_mounted and self.is_attached
        pointed = self._pointed if is_shown else None
        self._choices, self._remark = tuple(choices), remark
        if is_shown:
            self._show(pointed.value if pointed else None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Disable what is not possible here."""
        return action != "drop" or self._drop is not None

    def on_input_changed(self, _event: Input.Changed) -> None:
        """Filter the list."""
        self._show()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Pick the clicked choice."""
        self.dismiss(self._shown[event.option_index].value)

    def action_take(self) -> None:
        """Pick the choice under the cursor."""
        if (choice := self._pointed) is not None:
            self.dismiss(choice.value)

    def action_move(self, how: str) -> None:
        """Move the cursor."""
        getattr(self._options, f"action_{how}")()

    def action_drop(self) -> None:
        """Delete the value under the cursor after confirmation."""
        choice, drop = self._pointed, self._drop
        if choice is None or drop is None or not choice.value:
            return

        def confirmed() -> None:
            drop(choice.value)
            self.set_choices([each for each in self._choices if each != choice])

        confirm(self.app, f"Delete {plain_text(choice.columns[0])}?", confirmed)

    @property
    def _options(self) -> _Options:
        return self.query_one(_Options)

    @property
    def _pointed(self) -> PickOption | None:
        at = self._options.highlighted
        return None if at is None else self._shown[at]

    def _show(self, pointed: str | None = None) -> None:
        """List the matches; the cursor moves to ``pointed``, the current value or the first."""
        words = self.query_one(Input).value.casefold().replace("*", " ").split()
        found = [each for each in self._choices if _matches(each, words)]
        if words:  # names with a word that starts like this come first
            found.sort(key=lambda each: f" {words[0]}" not in f" {each.columns[0].casefold()}")
        self._shown = tuple(found[:MOST_SHOWN])
        options = self._options
        options.clear_options()
        options.add_options(Option(line) for line in self._lines())
        values = [choice.value for choice in self._shown]
        if values:
            wanted = pointed or ("" if words else self._current)
            options.highlighted = values.index(wanted) if wanted in values else 0
        remark = self._remark
        if not found:
            remark = "no matches" if self._choices else self._remark or "none"
        elif len(found) > MOST_SHOWN:
            remark = f"{len(found) - MOST_SHOWN:,} more; type to narrow the list  {remark}"
        self.query_one("#remark", Static).update(Text(remark, QUIET_STYLE, no_wrap=True))

    def _lines(self) -> list[Text]:
        """Return the choices as aligned columns; the last one is shortened to fit."""
        if not self._shown:
            return []
        room = max(20, min(104, self.size.width) - 6)
        columns = [[plain_text(text) for text in each.columns] for each in self._shown]
        cells = [min(room // 2, max(map(width, texts))) for texts in zip(*columns, strict=True)]
        cells[-1] = max(0, room - sum(cells[:-1]) - len(GAP) * (len(cells) - 1))
        return [
            Text(
                GAP.join(fit(text, room) for text, room in zip(texts, cells, strict=True)),
                "" if choice.is_near else QUIET_STYLE,
                no_wrap=True,
            )
            for choice, texts in zip(self._shown, columns, strict=True)
        ]


def _matches(choice: PickOption, words: Sequence[str]) -> bool:
    """Return whether a choice contains every word."""
    remark = " ".join(choice.columns).casefold()
    return all(word in remark for word in words)


class _Ticks(SelectionList[str]):
    """A list whose check marks are visible without colour, unlike Textual's."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("select-column", "space", "select", "select", show=True)
    ]

    def render_line(self, y: int) -> Strip:
        """Return a line with ``[✓]`` or ``[ ]`` before its option."""
        strip = super().render_line(y)
        index = self.scroll_offset.y + y
        if index >= self.option_count:
            return strip
        is_ticked = self.get_option_at_index(index).value in self.selected
        _left, button, _right, *prompt = strip  # a click on the button finds its option
        style = self.rich_style + Style(meta=button.style.meta if button.style else None)
        return Strip([Segment("[✓]" if is_ticked else "[ ]", style), *prompt])


def _column_name(name: str) -> str:
    """Return a column as users read it."""
    return "prediction" if name == "arm" else shown_name(name)


class ChooseColumns(Dialog[tuple[str, ...] | None]):
    """A list of columns; returns the chosen ones in the table's order, empty for the default
    ones, or None if cancelled."""

    DEFAULT_CSS = """
    ChooseColumns > .frame { width: 76; height: 90%; }
    ChooseColumns SelectionList { height: 1fr; border: none; background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "escape", "dismiss(None)", "back", show=True),
        bind("accept", "enter", "take", "accept", show=True, priority=True),
        bind("default-columns", "0", "usual", "default columns", show=True),
    ]

    def __init__(self, chosen: Sequence[str]) -> None:
        super().__init__()
        self._chosen = tuple(chosen) or USUAL_COLUMNS

    def compose(self) -> ComposeResult:
        """Lay out every column with its description."""
        cells = max(len(_column_name(name)) for name in RUN_COLUMNS)
        with Vertical(classes="frame"):
            yield Static(Text("Columns of the list", HEADING_STYLE))
            yield _Ticks(
                *(
                    Selection(
                        Text.assemble(
                            f"{_column_name(name):<{cells}}", (f" {column.about}", QUIET_STYLE)
                        ),
                        name,
                        name in self._chosen,
                    )
                    for name, column in RUN_COLUMNS.items()
                ),
                compact=True,
            )
            yield KeyBar()

    def action_take(self) -> None:
        """Return the chosen columns."""
        chosen = set(self.query_one(_Ticks).selected)
        columns = tuple(name for name in RUN_COLUMNS if name in chosen)
        self.dismiss(() if columns == USUAL_COLUMNS else columns)

    def action_usual(self) -> None:
        """Return the default columns."""
        self.dismiss(())
