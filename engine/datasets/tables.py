"""Images listed in a CSV table of path, label and domain, as in WILDS."""

from __future__ import annotations

import csv
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from engine.datasets.sources import ImageFile, read_image_file
from engine.errors import DataError
from engine.protocol.datasets import LeftOut, add_command

SHOWN_ROWS: Final = 5
SEPARATORS: Final = (",", ";", "\t", "|")
TABLE_SUFFIXES: Final = (".csv", ".tsv")
"""Suffixes of tables."""


class IncompleteRowsError(DataError):
    """Rows of a table without a value; the others have been read."""


class TableSource:
    """The images of a table; paths are relative to the table's folder, or absolute.

    Raises:
        DataError: if the table cannot be read, lacks a column, has incomplete rows, or none of its
            files exists.
    """

    def __init__(
        self,
        table: Path,
        columns: tuple[str, ...],
        domains: Sequence[str] | None = None,
        defaults: Mapping[str, str] | None = None,
        *,
        keeps_problems: bool = False,
    ) -> None:
        """Read the table.

        Args:
            table: CSV or TSV file with a header.
            columns: names of the path, label and domain columns, and optionally the group column.
            domains: domains to use; None: all.
            defaults: values of the columns that the table may lack.
            keeps_problems: leave out incomplete rows, which ``problems`` reports.
        """
        self._table = table
        self.problems: tuple[str, ...] = ()
        listed: list[tuple[str, ...]] = []
        try:
            for path, label, domain, *group in read_columns(table, columns, None, defaults):
                listed.append((domain, label, path, *group))
        except IncompleteRowsError as error:
            if not (keeps_problems and listed):
                raise
            self.problems = (str(error),)
        wanted = None if domains is None else set(domains)
        used = [row for row in listed if wanted is None or row[0] in wanted]
        rows = sorted({self._canonical(row): row for row in sorted(used, reverse=True)}.values())
        self._left_out = _doubled(used, rows)
        described = [self._describe(*row) for row in rows]
        self._files = [file for file, _ in described]
        self.missing = tuple(file.path for file, exists in described if not exists)
        if rows and len(self.missing) == len(rows):
            raise DataError(_none_exists(table, self.missing))

    @property
    def location(self) -> Path:
        """Return the table."""
        return self._table

    @property
    def reading(self) -> None:
        """Return None: a table has no folder layout."""
        return None

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Return what was ignored: duplicate rows."""
        return self._left_out

    def class_folders(self) -> dict[str, set[str]]:
        """Return each domain's classes."""
        classes: dict[str, set[str]] = defaultdict(set)
        for file in self._files:
            classes[file.domain].add(file.class_name)
        return dict(classes)

    def files(self) -> list[ImageFile]:
        """Return the image files by domain, class and path."""
        return list(self._files)

    def names(self, path: str) -> tuple[str, ...]:
        """Return a path as the table has it, relative to its folder, and in full."""
        place = self.place(path)
        return (path, os.path.relpath(place, self._table.parent), place)

    def read(self, path: str) -> bytes:
        """Return the content of a file."""
        return read_image_file(Path(self._place(path)))

    def place(self, path: str) -> str:
        """Return the normalised absolute path of a file of the table."""
        return os.path.normpath(self._place(path))

    def _canonical(self, row: tuple[str, ...]) -> tuple[str, ...]:
        """Return a row with a normalised path."""
        domain, label, path, *group = row
        return (domain, label, self.place(path), *group)

    def _place(self, path: str) -> str:
        absolute = os.path.expanduser(path) if path.startswith("~") else path
        return os.path.join(self._table.parent, absolute)

    def _describe(
        self, domain: str, label: str, path: str, group: str = ""
    ) -> tuple[ImageFile, bool]:
        """Return an image file and whether it exists; missing ones are reported on decoding."""
        try:
            status = os.stat(self._place(path))
        except (OSError, ValueError):
            return ImageFile(domain, label, path, 0, 0, group), False
        size, stamp = status.st_size, status.st_mtime_ns
        return ImageFile(domain, label, path, size, stamp, group), True


def _doubled(
    listed: Sequence[tuple[str, ...]], kept: Sequence[tuple[str, ...]]
) -> tuple[LeftOut, ...]:
    again = Counter(listed) - Counter(kept)
    return (LeftOut("rows that repeat another", again.total(), min(again)[2]),) if again else ()


def _none_exists(table: Path, paths: Sequence[str]) -> str:
    """Return an error message for a table none of whose files exists, with the likely reason."""
    text = f"The only file of {table} does not exist"
    if len(paths) > 1:
        text = f"None of the {len(paths):,} files of {table} exists"
    reason = f"for example {paths[0]}; paths must be relative to the table's folder, or absolute"
    for mark, why in (
        ("file://", "write paths without file://"),
        ("://", "the paths are URLs; download the images first"),
        ("\\", "the paths have backslashes; use / instead"),
        ("~", "the paths start with ~ and do not exist in this user's home"),
    ):
        if sum(mark in path for path in paths) > len(paths) / 2:
            reason = f"{why} (for example {paths[0]})"
            break
    return f"{text}: {reason}."


def missing_note(missing: Sequence[str]) -> str:
    """Return a note on a table's missing files."""
    shown = ", ".join(missing[:SHOWN_ROWS]) + (", …" if len(missing) > SHOWN_ROWS else "")
    does = "file of the table does" if len(missing) == 1 else "files of the table do"
    return f"! {len(missing):,} {does} not exist: {shown}"


def read_columns(
    table: Path,
    columns: Sequence[str],
    advice: str | None = None,
    defaults: Mapping[str, str] | None = None,
    comment: str = "",
) -> Iterator[tuple[str, ...]]:
    """Yield the values of some columns of a table with a header, row by row.

    Values are separated by commas, semicolons, tabs or bars. Column names match regardless of case
    and surrounding spaces. Columns that the table lacks have the value in ``defaults``; ``advice``:
    what to do if another one is missing. ``comment``: what lines to skip begin with; empty: none.

    Raises:
        DataError: if it cannot be read, lacks a column, or has incomplete rows.
    """
    try:
        with table.open(newline="", encoding=encoding_of(table)) as file:
            lines = ("\n" if comment and line.startswith(comment) else line for line in file)
            heading = _heading(lines)
            separator = _separator(heading, columns)
            known = next(csv.reader([heading], delimiter=separator), [])
            places = _places(table, known, columns, advice, defaults or {})
            reader = csv.reader(lines, delimiter=separator)
            incomplete: list[tuple[int, list[str]]] = []
            for line in reader:
                if not any(map(str.strip, line)):  # spreadsheets end tables with ",,"
                    continue
                values = tuple(each.value_in(line) for each in places)
                empty = [
                    each.name for each, value in zip(places, values, strict=True)
                    if "\0" in value or not (value or each.may_be_empty)
                ]  # fmt: skip
                if empty:
                    incomplete.append((reader.line_num + 1, empty))
                else:
                    yield values
    except UnicodeDecodeError:
        raise DataError(f"{table} is not UTF-8 text. Save it as CSV in UTF-8.") from None
    except OSError as error:
        raise DataError(f"{table} cannot be read: {error.strerror or error}.") from None
    except csv.Error as error:
        raise DataError(f"{table} cannot be read as CSV: {error}.") from None
    if incomplete:
        raise IncompleteRowsError(_incomplete(table, incomplete))


def _heading(file: Iterable[str]) -> str:
    """Return the header, skipping empty lines and ``sep=;``."""
    for line in file:
        if line.strip() and not is_separator_line(line):
            return line
    return ""


def is_separator_line(line: str) -> bool:
    """Return whether a line before the header names the separator, as spreadsheets write it."""
    return line.lower().startswith("sep=")


def encoding_of(table: Path) -> str:
    """Return UTF-16 if the first bytes indicate it, as from spreadsheets, else UTF-8."""
    with table.open("rb") as file:
        head = file.read(2)
    if head in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    unmarked = {1: "utf-16-le", 0: "utf-16-be"}
    return unmarked[head.index(0)] if head.count(0) == 1 and len(head) == 2 else "utf-8-sig"


def _separator(heading: str, columns: Sequence[str]) -> str:
    """Return the separator that finds most of the columns in the header."""

    def found(separator: str) -> int:
        known = {_plain(name) for name in next(csv.reader([heading], delimiter=separator), [])}
        return sum(_plain(column) in known for column in columns)

    most = max(SEPARATORS, key=found)
    return most if found(most) else max(SEPARATORS, key=heading.count)


def _plain(name: str) -> str:
    return name.strip().casefold()


class _Place(NamedTuple):
    """Where a column is in a line of the table; ``at`` None: every row has the default."""

    name: str
    at: int | None
    default: str | None

    @property
    def may_be_empty(self) -> bool:
        """Return whether rows without a value are complete."""
        return self.default == ""

    def value_in(self, line: Sequence[str]) -> str:
        """Return the column's value in a line."""
        if self.at is None:
            return self.default or ""
        return line[self.at].strip() if self.at < len(line) else ""


def _places(
    table: Path,
    known: Sequence[str],
    columns: Sequence[str],
    advice: str | None,
    defaults: Mapping[str, str],
) -> list[_Place]:
    """Return where the columns are, by exact or else by similar name in the header."""
    if not known:
        raise DataError(f"{table} is empty. Its first line must be a header of column names.")
    places: list[_Place] = []
    for column in columns:
        alike = [at for at, name in enumerate(known) if _plain(name) == _plain(column)]
        exact = [at for at in alike if known[at] == column]
        if len(exact) > 1:
            raise DataError(f"{table} has {len(exact)} columns {column}. Rename or remove one.")
        at = next(iter(exact or (alike if len(alike) == 1 else [])), None)
        places.append(_Place(column, at, defaults.get(column)))
    missing = [each.name for each in places if each.at is None and each.default is None]
    if missing:
        advice = advice or (
            f"Give their names: {add_command(table.name, table)} with {_options(columns)}."
        )
        raise DataError(
            f"{table} has no column {', '.join(missing)}; its columns are {', '.join(known)}. "
            f"{advice}"
        )
    return places


def _incomplete(table: Path, rows: Sequence[tuple[int, list[str]]]) -> str:
    """Return an error message for incomplete rows."""
    if len(rows) == 1:
        line, empty = rows[0]
        return f"Line {line} of {table} has no {_either(empty)}. Fill or remove it."
    names = list(dict.fromkeys(name for _, empty in rows for name in empty))
    lines = ", ".join(str(line) for line, _ in rows[:SHOWN_ROWS])
    more = ", …" if len(rows) > SHOWN_ROWS else ""
    return (
        f"{len(rows):,} rows of {table} have no {_either(names)}: lines {lines}{more}. Fill or "
        "remove them."
    )


def _either(names: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _options(columns: Sequence[str]) -> str:
    named = ("--path-column", "--label-column", "--domain-column")
    every = (*named, "--group-column")[: len(columns)]
    return " and ".join((named[0], named[-1]) if len(columns) == 2 else every)
