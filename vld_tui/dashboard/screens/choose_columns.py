"""Choose the columns of the table of runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.strip import Strip
from textual.widgets import SelectionList
from textual.widgets.selection_list import Selection

from vld_tui.dashboard.guard import Guarded
from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.widgets.key_bar import KeyBar
from vld_tui.views.run_columns import RUN_COLUMNS, USUAL_COLUMNS
from vld_tui.words.palette import QUIET_STYLE


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


class ChooseColumns(Guarded, ModalScreen[tuple[str, ...] | None]):
    """A list of columns; returns the chosen ones in the table's order, empty for the default
    ones, or None if cancelled."""

    DEFAULT_CSS = """
    ChooseColumns { align: center middle; background: $background 60%; }
    ChooseColumns Vertical { width: 76; max-width: 100%; height: 90%; background: $panel; }
    ChooseColumns SelectionList { height: 1fr; border: none; background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "escape", "dismiss(None)", "back", show=True),
        bind("accept", "enter", "take", "accept", show=True, priority=True),
        bind("default-columns", "u", "usual", "default columns", show=True),
    ]

    def __init__(self, chosen: Sequence[str]) -> None:
        super().__init__()
        self._chosen = tuple(chosen) or USUAL_COLUMNS

    def compose(self) -> ComposeResult:
        """Lay out every column with its description."""
        cells = max(map(len, RUN_COLUMNS))
        with Vertical():
            yield _Ticks(
                *(
                    Selection(
                        Text.assemble(f"{name:<{cells}}", (f" {column.about}", QUIET_STYLE)),
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
