"""The list of runs: draws the visible rows, and requests those it has not loaded."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from vld_tui.dashboard.guard import Guarded
from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.messages import (
    ColumnsLaidOut,
    GroupOpened,
    MarksChanged,
    PageNeeded,
    RowHighlighted,
    RunOpened,
    SortAsked,
)
from vld_tui.runs.run import GroupRow, Run, RunRow, TableRow
from vld_tui.views.run_columns import (
    RUN_COLUMNS,
    USUAL_COLUMNS,
    RunColumn,
    agreeing,
    with_order,
)
from vld_tui.words.columns import GAP, Layout, align, lay_out
from vld_tui.words.palette import MANY_MARKS, Look, series_look, status_style

PAGE: Final = 100
"""Number of rows requested at a time, around the visible ones."""
MOST_NEAR: Final = 40
"""Neighbours of the cursor that it may move to when its run is filtered out."""
HEADING_ROWS: Final = 1
MARK_CELLS: Final = 1
PARTLY_MARKED: Final = "-"
"""The mark of a group of which only some runs are marked."""
GROUP_NAME_STEPS: Final = ((90, 24), (86, 48))
"""A group's name is given more room than the progress of its runs."""
CLICK_CELLS: Final = 2
"""Width of the left edge in which a click marks."""
_HEADING: Final = Style(bold=True)


class RunTable(Guarded, ScrollView, can_focus=True, inherit_bindings=False):
    """A table of runs; as fast with a hundred thousand of them as with ten."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"run-table--cursor"}
    DEFAULT_CSS = """
    RunTable { height: 1fr; overflow-x: hidden; scrollbar-size-vertical: 1; }
    RunTable > .run-table--cursor { background: $selection; }
    RunTable:focus > .run-table--cursor { text-style: bold; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("up", "up,k", "move(-1)", "up"),
        bind("down", "down,j", "move(1)", "down"),
        bind("page-up", "pageup", "move_page(-1)", "page up"),
        bind("page-down", "pagedown", "move_page(1)", "page down"),
        bind("first", "home,g", "move_to_first", "first"),
        bind("last", "end,G", "move_to_last", "last"),
        bind("mark", "space", "mark", "mark", show=True),
        bind("open", "enter", "open", "open", show=True),
    ]

    def __init__(self, *, clock: Callable[[], float] = time.time, **settings: Any) -> None:
        super().__init__(**settings)
        self._clock = clock
        self._columns: tuple[RunColumn, ...] = ()
        self._are_chosen = False
        self._order: tuple[str, bool] = ("", False)
        self._agreed: frozenset[str] = frozenset()
        self._folded: dict[int, str] = {}
        self._rows: dict[int, TableRow] = {}
        self._texts: dict[int, tuple[str, ...]] = {}
        self._layout: tuple[int, Layout] | None = None
        self._count = 0
        self._cursor = 0
        self._sought: tuple[str, ...] = ()
        self._asked: tuple[int, int] | None = None
        self._marked: dict[str, int] = {}
        self._highlighted: TableRow | None = None
        self._style = self._cursor_style = Style.null()
        self.set_columns(())

    @property
    def current(self) -> TableRow | None:
        """Return the row under the cursor, if loaded."""
        return self._rows.get(self._cursor)

    @property
    def cursor(self) -> int:
        """Return the index of the row under the cursor."""
        return self._cursor

    @property
    def marked(self) -> tuple[str, ...]:
        """Return the marked runs in the order they were marked."""
        return tuple(self._marked)

    @property
    def places(self) -> Mapping[str, int]:
        """Return the place of each marked run, which determines its appearance.

        It stays the same while the run is marked. The lowest place of a group's runs is the
        group's.
        """
        return self._marked

    def set_columns(self, names: Sequence[str]) -> None:
        """Show these columns of ``RUN_COLUMNS``, in order; the default ones if empty."""
        known = [RUN_COLUMNS[name] for name in names if name in RUN_COLUMNS]
        self._are_chosen = bool(known)
        self._columns = tuple(known) or tuple(RUN_COLUMNS[name] for name in USUAL_COLUMNS)
        self._write_rows()
        self._layout = None
        self.refresh()

    def set_order(self, field: str, *, is_descending: bool) -> None:
        """Show by which field the rows are sorted."""
        if self._order != (field, is_descending):
            self._order, self._layout = (field, is_descending), None
            self.refresh()

    @property
    def shows_order(self) -> bool:
        """Return whether a visible heading has the sign of the order."""
        layout = self._lay_out(self.scrollable_content_region.width)
        shown = (self._columns[at] for at in layout.shown)
        return any(each.field == self._order[0] and each.column.heading for each in shown)

    @property
    def folded(self) -> tuple[str, ...]:
        """Return what all runs have in common, in place of its columns, most important first."""
        return tuple(self._folded.values())

    @property
    def whole_cells(self) -> int:
        """Return the width that shows every column in full."""
        layout = self._whole_layout(None)
        return MARK_CELLS + layout.cells + self.styles.scrollbar_size_vertical

    @property
    def row_count(self) -> int:
        """Return the number of rows, loaded or not."""
        return self._count

    @property
    def near(self) -> tuple[str, ...]:
        """Return the run under the cursor, then its loaded neighbours, the nearest first."""
        places = sorted(self._rows, key=lambda at: (abs(at - self._cursor), -at))
        return tuple(self._rows[at].run_ids[0] for at in places[:MOST_NEAR])

    def set_page(
        self,
        count: int,
        offset: int,
        rows: Sequence[TableRow],
        agreed: frozenset[str] = frozenset(),
        *,
        cursor: int | None = None,
    ) -> None:
        """Show a page of ``count`` rows; the cursor stays on its run, or moves to a row.

        If it moves out of sight, so does what is visible, by as many rows. ``agreed`` are fields in
        which all runs agree, if there are more rows than these.
        """
        before, was_in_sight, was_at = self.current, self._cursor in self._sight(), self._cursor
        self._asked = None
        seen = (self._in_sight(), self._layout, self._count, self._cursor)
        self._count = count
        self._rows = {offset + index: row for index, row in enumerate(rows)}
        self._agreed = agreed
        self._write_rows()
        if cursor is not None:
            self._cursor = cursor
        elif before is not None:
            same = self._row_of(before.run_ids[:1])
            self._cursor = self._cursor if same is None else same
        self._cursor = max(0, min(self._cursor, count - 1))
        found = self._row_of(self._sought)
        self._tell()
        self._show_changes(*seen)
        if was_in_sight and self._cursor not in self._sight():
            top = max(0, self.scroll_y + self._cursor - was_at)
            self.scroll_to(y=top, animate=False, force=True, immediate=True)
        if found is not None:
            self._go(found)
        self._ask_for_sight()

    def seek(self, run_ids: Sequence[str], row: int) -> None:
        """Move the cursor to ``row``, and to the first of these runs once one is loaded."""
        self._go(row)
        self._sought = tuple(run_ids)

    def clear_marks(self) -> None:
        """Remove all marks."""
        self._marked.clear()
        self.post_message(MarksChanged(self.marked))
        self.refresh()

    def action_move(self, rows: int) -> None:
        """Move the cursor down, or up."""
        self._go(self._cursor + rows)

    def action_move_page(self, pages: int) -> None:
        """Move the cursor by a page."""
        self._go(self._cursor + pages * max(1, self.size.height - HEADING_ROWS - 1))

    def action_move_to_first(self) -> None:
        """Move the cursor to the first run."""
        self._go(0)

    def action_move_to_last(self) -> None:
        """Move the cursor to the last run."""
        self._go(self._count - 1)

    def action_mark(self) -> None:
        """Mark or unmark the row under the cursor, and move to the next."""
        if self.current is None:
            return
        run_ids = self.current.run_ids
        if {*run_ids} <= self._marked.keys():
            self._marked = {
                each: place for each, place in self._marked.items() if each not in run_ids
            }
        else:
            new = [each for each in run_ids if each not in self._marked]
            self._marked = self._marked | _free_places(new, {*self._marked.values()})
        self._refresh_row(self._cursor)
        self.post_message(MarksChanged(self.marked))
        self._go(self._cursor + 1)

    def action_open(self) -> None:
        """Open the run or the group under the cursor."""
        match self.current:
            case RunRow(run=run):
                self.post_message(RunOpened(run.run_id))
            case GroupRow() as row:
                self.post_message(GroupOpened(row))

    def action_go_to(self, run_id: str) -> None:
        """Move the cursor to a run, if its row is loaded."""
        rows = (at for at, row in self._rows.items() if row.run_ids[0] == run_id)
        if (at := next(rows, None)) is not None:
            self._go(at)

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to a row, open it on a second click, or sort by a heading."""
        row = event.y - HEADING_ROWS + self._first_in_sight
        if event.y < HEADING_ROWS:
            at = _column_at(self._lay_out(self.scrollable_content_region.width), event.x)
            if at is not None and (field := self._columns[at].field) is not None:
                self.post_message(SortAsked(field))
            return
        if row >= self._count:
            return
        self._go(row)
        if event.x < CLICK_CELLS:
            self.action_mark()
        elif event.chain == 2:
            self.action_open()

    def allow_focus(self) -> bool:
        """Return whether it can have the focus: not while it is hidden."""
        return super().allow_focus() and bool(self.display)

    def on_resize(self) -> None:
        """Keep the cursor visible."""
        self.virtual_size = Size(0, self._count + HEADING_ROWS)
        self._go(self._cursor)
        self.post_message(ColumnsLaidOut())

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Request the rows that became visible."""
        super().watch_scroll_y(old_value, new_value)
        self._ask_for_sight()
        self.refresh()

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return lines; their styles are looked up once for all of them."""
        self._style = self.rich_style
        cursor_style = self.get_component_rich_style("run-table--cursor", partial=True)
        self._cursor_style = self._style + cursor_style
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """Return the heading or the line of a row."""
        base, cells = self._style, self.scrollable_content_region.width
        over: Style | None = None
        index = self._first_in_sight + y - HEADING_ROWS
        layout = self._lay_out(cells)
        if y < HEADING_ROWS:
            line = _heading_line(self._headed, layout)
        elif index >= self._count:
            return Strip.blank(cells, base)
        elif (row := self._rows.get(index)) is None:
            line = [Segment(" …", Style(dim=True))]
        else:
            run = row.run if isinstance(row, RunRow) else None
            line = _row_line(self._columns, layout, self._texts[index], run, self._look_of(row))
            if index == self._cursor:
                base = self._cursor_style
                if self.app.no_color:  # the greys of statuses are unreadable on the cursor's
                    over = Style(color=base.color)
        return Strip(Segment.apply_style(line, base, over)).adjust_cell_length(cells, base)

    def _look_of(self, row: TableRow) -> Look | None:
        """Return the appearance of a marked row, or of a group with marked runs; None: not
        marked."""
        places = [self._marked[each] for each in row.run_ids if each in self._marked]
        if not places:
            return None
        look = series_look(min(places))
        return look if len(places) == len(row.run_ids) else look._replace(mark=PARTLY_MARKED)

    def _lay_out(self, cells: int) -> Layout:
        """Choose columns and widths for the loaded rows, once for all of their lines."""
        if self._layout is None or self._layout[0] != cells:
            self._layout = (cells, self._whole_layout(cells - MARK_CELLS))
        return self._layout[1]

    def _whole_layout(self, cells: int | None) -> Layout:
        """Choose columns and widths: in full, if ``cells`` is None."""
        are_groups = any(isinstance(row, GroupRow) for row in self._rows.values())
        hidden = {*self._folded}
        if are_groups or not self._are_chosen:
            hidden |= _blank_columns(self._columns, self._texts.values())
        return _cell_layout(
            self._headed, [*self._texts.values()], cells, hidden=hidden, are_groups=are_groups
        )

    @property
    def _headed(self) -> list[RunColumn]:
        field, is_descending = self._order
        return with_order(self._columns, field, is_descending=is_descending)

    def _write_rows(self) -> None:
        now, scale = self._clock(), _scale_of(self._rows.values())
        self._texts = {at: self._cells(row, now, scale) for at, row in self._rows.items()}
        agreed = self._agreed if len(self._rows) < self._count else None
        rows = [*self._texts.values()]
        self._folded = {} if self._are_chosen else agreeing(self._columns, rows, agreed)

    def _cells(self, row: TableRow, now: float, scale: tuple[float, float]) -> tuple[str, ...]:
        if isinstance(row, RunRow):
            trail = _scaled(row.ood_history, scale)
            return tuple(each.of_run(row.run, trail, now) for each in self._columns)
        return tuple(each.of_group(row, now) for each in self._columns)

    @property
    def _first_in_sight(self) -> int:
        return round(self.scroll_y)

    def _sight(self) -> range:
        first = self._first_in_sight
        return range(first, min(self._count, first + max(1, self.size.height - HEADING_ROWS)))

    def _in_sight(self) -> dict[int, tuple[Sequence[str], str]]:
        """Return the visible lines: their cells, and the status that colours them."""
        known = (at for at in self._sight() if at in self._rows)
        return {at: (self._texts[at], _status(self._rows[at])) for at in known}

    def _show_changes(
        self,
        before: dict[int, tuple[Sequence[str], str]],
        layout: tuple[int, Layout] | None,
        count: int,
        cursor: int,
    ) -> None:
        """Draw changed lines again, or all if they moved."""
        self._layout = None
        self.virtual_size = Size(0, self._count + HEADING_ROWS)
        now = self._in_sight()
        widths = self._lay_out(self.scrollable_content_region.width)
        is_in_place = (count, cursor, before.keys()) == (self._count, self._cursor, now.keys())
        if not is_in_place or layout is None or layout[1] != widths:
            self.refresh()
            return
        for at, shown in now.items():
            if shown != before[at]:
                self._refresh_row(at)

    def _refresh_row(self, row: int) -> None:
        """Draw one line again."""
        line = row - self._first_in_sight + HEADING_ROWS
        self.refresh(Region(0, line, self.size.width, 1))

    def _row_of(self, run_ids: Sequence[str]) -> int | None:
        """Return the first loaded row with one of these runs."""
        rows = (at for at, row in self._rows.items() if not {*run_ids}.isdisjoint(row.run_ids))
        return next(rows, None) if run_ids else None

    def _go(self, row: int) -> None:
        before, self._sought = self._cursor, ()
        self._cursor = max(0, min(row, self._count - 1))
        # The heading stays in place, so a line is shown one row further down.
        self.scroll_to_region(
            Region(0, self._cursor, 1, 1 + HEADING_ROWS), animate=False, force=True
        )
        self._ask_for_sight()
        self._tell()
        self._refresh_row(before)
        self._refresh_row(self._cursor)

    def _ask_for_sight(self) -> None:
        sight = self._sight()
        if all(at in self._rows for at in sight) or self._count == 0:
            return
        offset = max(0, sight.start - (PAGE - len(sight)) // 2)
        if self._asked != (offset, PAGE):
            self._asked = (offset, PAGE)
            self.post_message(PageNeeded(offset, PAGE))

    def _tell(self) -> None:
        """Post the run under the cursor, if it changed."""
        if self.current != self._highlighted:
            self._highlighted = self.current
            self.post_message(RowHighlighted(self.current))


def _free_places(run_ids: Sequence[str], taken: set[int]) -> dict[str, int]:
    """Return the lowest free place for the first run of a row, and late ones for the others, so
    that rows are distinguishable."""
    first = next(place for place in itertools.count() if place not in taken)
    used = {*taken, first}
    late = (place for place in itertools.count(len(MANY_MARKS)) if place not in used)
    return dict(zip(run_ids, itertools.chain([first], late), strict=False))


def _status(row: TableRow) -> str:
    return row.run.status if isinstance(row, RunRow) else ""


def _heading_line(columns: Sequence[RunColumn], layout: Layout) -> list[Segment]:
    """Return the table's first line."""
    shown = [column.column for column in columns]
    headings = align(shown, layout, [column.heading for column in shown])
    return [Segment(" " + GAP.join(headings), _HEADING)]


def _row_line(
    columns: Sequence[RunColumn],
    layout: Layout,
    cells: Sequence[str],
    run: Run | None,
    look: Look | None,
) -> list[Segment]:
    """Return the line of one run, or of a group (None); ``look`` is that of a marked one."""
    line = [Segment(look.mark, Style(color=look.colour, bold=True)) if look else Segment(" ")]
    texts = align([column.column for column in columns], layout, cells)
    for index, text in zip(layout.shown, texts, strict=True):
        style = columns[index].column.style
        if columns[index].is_status and run is not None:
            style = status_style(run.status, collapsed=run.collapsed)
        line.append(Segment(text + GAP, Style.parse(style)))
    return line


def _scale_of(rows: Iterable[TableRow]) -> tuple[float, float]:
    """Return the lowest and highest OOD accuracy of all listed trails."""
    runs = [row for row in rows if isinstance(row, RunRow) and row.ood_history]
    lows, highs = (min(row.ood_history) for row in runs), (max(row.ood_history) for row in runs)
    return min(lows, default=0.0), max(highs, default=1.0)


def _scaled(trail: Sequence[float], scale: tuple[float, float]) -> Sequence[float]:
    """Map a trail to 0..1, from the lower to the upper end of a scale."""
    low, high = scale
    return [(each - low) / (high - low) if high > low else 0.5 for each in trail]


def _blank_columns(columns: Sequence[RunColumn], rows: Iterable[Sequence[str]]) -> set[int]:
    """Return the columns with headings of which no row has a value."""
    blank = {at for at, each in enumerate(columns) if each.column.heading}
    for row in rows:
        blank = {at for at in blank if not row[at].strip()}
    return blank


def _cell_layout(
    columns: Sequence[RunColumn],
    rows: Sequence[Sequence[str]],
    cells: int | None,
    *,
    hidden: Container[int] = (),
    are_groups: bool = False,
) -> Layout:
    """Choose columns and widths for lines of a width; None: in full."""
    named = [
        each.column._replace(steps=GROUP_NAME_STEPS)
        if are_groups and each.about == RUN_COLUMNS["name"].about
        else each.column
        for each in columns
    ]
    listed = [at for at in range(len(columns)) if at not in hidden]
    texts = [[row[at] for at in listed] for row in rows]
    layout = lay_out([named[at] for at in listed], texts, cells)
    return Layout(tuple(listed[at] for at in layout.shown), layout.widths)


def _column_at(layout: Layout, x: int) -> int | None:
    """Return the index of the column at a cell of a line, or None between two."""
    start = 1
    for index, width in zip(layout.shown, layout.widths, strict=True):
        if start <= x < start + max(1, width):
            return index
        start += width + len(GAP)
    return None
