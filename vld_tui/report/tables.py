"""Tables as values, with cells formatted for display and for scripts."""

from __future__ import annotations

import io
from typing import Final, NamedTuple

from engine.protocol.evaluated import Unit
from vld_tui.control.records import write_records
from vld_tui.runs.statistics import FEWEST
from vld_tui.words.numbers import UNKNOWN, plain_number, signed, signed_points

PLACE_KEYS: Final = ("dataset", "target", "among")
"""Columns that identify a row; they come first."""


class Share(NamedTuple):
    """A fraction from 0 to 1, displayed in percent, with an optional remark."""

    value: float
    words: str = ""


class PercentagePoints(NamedTuple):
    """A difference of two fractions, displayed in percentage points."""

    value: float


class Spread(NamedTuple):
    """A fraction, or a number of another ``unit``, with its uncertainty.

    ``error`` is the column's ±; None: unknown. ``deviation`` is over ``seeds`` seeds and is shown
    instead of ± when they are too few.
    """

    value: float
    error: float | None
    deviation: float | None = None
    seeds: int = 0
    unit: Unit = "share"

    @property
    def has_too_few(self) -> bool:
        """Return whether seeds differ but are too few for an interval."""
        return self.deviation is not None and self.seeds < FEWEST


class Range(NamedTuple):
    """An interval of differences, displayed in percentage points."""

    low: float
    high: float


class Absent(NamedTuple):
    """The reason for a missing value."""

    words: str


class Probability(NamedTuple):
    """A p-value."""

    value: float


class Correlation(NamedTuple):
    """A correlation from −1 to 1, with its 95% interval if it is known."""

    value: float
    interval: tuple[float, float] | None


CellValue = (
    str
    | int
    | Share
    | PercentagePoints
    | Spread
    | Range
    | Probability
    | Correlation
    | Absent
    | None
)


class TableColumn(NamedTuple):
    """A column: its name for scripts, its heading, and its rank when width is short.

    ``parts`` are the suffixes of its CSV columns. A column ``for_scripts`` is only in CSV and JSON.
    """

    key: str
    heading: str
    right: bool = True
    rank: int = 100
    parts: tuple[str, ...] = ("",)
    for_scripts: bool = False


class Table(NamedTuple):
    """A table; ``name`` is its file name, ``breaks`` are the rows with a rule above."""

    name: str
    title: str
    columns: tuple[TableColumn, ...]
    rows: tuple[tuple[CellValue, ...], ...]
    notes: tuple[str, ...] = ()
    breaks: tuple[int, ...] = ()


def cell_text(cell: CellValue) -> str:
    """Format a cell for display; text is unescaped."""
    match cell:
        case None:
            text = UNKNOWN
        case Share(value, words):
            text = f"{100 * value:.1f}{f' ({words})' if words else ''}"
        case PercentagePoints(value):
            text = signed_points(value)
        case Spread():
            text = _spread_text(cell)
        case Range(low, high):
            text = f"{signed_points(low)} to {signed_points(high)}"
        case Probability(value):
            text = "<0.001" if value < 0.001 else f"{value:.3f}"
        case Correlation(value, interval):
            text = signed(value, 2)
            if interval is not None:
                text += f" ({signed(interval[0], 2)} to {signed(interval[1], 2)})"
        case Absent(words):
            text = words
        case int():
            text = f"{cell:,}"
        case _:
            text = cell
    return text


def _spread_text(cell: Spread) -> str:
    show = plain_number if cell.unit == "number" else _of_percent
    text = show(cell.value)
    if cell.has_too_few and cell.deviation is not None:
        text += f" (sd {show(cell.deviation)})"
    elif cell.error is not None:
        text += f" ± {show(cell.error)}"
    return text


def _of_percent(value: float) -> str:
    return f"{100 * value:.1f}"


def cell_values(cell: CellValue) -> list[str | int | float | None]:
    """Return a cell for scripts, with fractions from 0 to 1."""
    match cell:
        case Share() | PercentagePoints() | Probability() | Range():
            return [*cell]
        case Spread(value, error, deviation, seeds):
            return [value, error, deviation, seeds]
        case Correlation(value, interval):
            return [value, *(interval or (None, None))]
        case Absent():
            return [None]
        case _:
            return [cell]


def printed(table: Table) -> Table:
    """Return a table without the columns for scripts."""
    kept = [at for at, column in enumerate(table.columns) if not column.for_scripts]
    if len(kept) == len(table.columns):
        return table
    return table._replace(
        columns=tuple(table.columns[at] for at in kept),
        rows=tuple(tuple(row[at] for at in kept) for row in table.rows),
    )


def texts(table: Table) -> list[list[str]]:
    """Return the rows for display."""
    return [[cell_text(cell) for cell in row] for row in table.rows]


def sparse_texts(table: Table) -> list[list[str]]:
    """Return the rows for display, leaving repeated row labels blank."""
    places = [at for at, column in enumerate(table.columns) if column.key in PLACE_KEYS]
    rows, before = [], [""] * len(table.columns)
    for row in texts(table):
        shown = list(row)
        for at in places:
            if row[: at + 1] != before[: at + 1]:
                break
            shown[at] = ""
        rows.append(shown)
        before = row
    return rows


def records(table: Table) -> list[dict[str, str | int | float | None]]:
    """Return the rows for scripts."""
    return [
        {
            column.key + part: values[at] if at < len(values) else None
            for column, cell in zip(table.columns, row, strict=True)
            for values in [cell_values(cell)]
            for at, part in enumerate(column.parts)
        }
        for row in table.rows
    ]


def csv_text(table: Table) -> str:
    """Write a table as CSV, with fractions from 0 to 1."""
    file = io.StringIO()
    names = [column.key + part for column in table.columns for part in column.parts]
    write_records(records(table), file, names)
    return file.getvalue()
