"""Images listed in a CSV table of path, label and domain, as WILDS lays them out."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from engine.datasets.errors import DataError
from engine.datasets.sources import ImageFile, read_image_file
from engine.protocol.datasets import LeftOut

SHOWN_ROWS: Final = 5
TABLE_SUFFIXES: Final = (".csv", ".tsv")
"""How tables are named."""


class TableSource:
    """The images of a table; paths are relative to the table's folder, or absolute.

    Raises:
        DataError: when the table cannot be read, lacks a column, or has rows without a value.
    """

    def __init__(
        self, table: Path, columns: tuple[str, str, str], domains: Sequence[str] | None = None
    ) -> None:
        """Read the table.

        Args:
            table: CSV file with a heading.
            columns: names of the columns of path, label and domain.
            domains: those that are used; None: all.
        """
        self._table = table
        listed = [(domain, label, path) for path, label, domain in read_columns(table, columns)]
        rows = set(listed)
        self._left_out: tuple[LeftOut, ...] = ()
        if doubled := len(listed) - len(rows):
            first = next(row for row, count in Counter(listed).items() if count > 1)
            self._left_out = (LeftOut("rows that stand twice", doubled, first[2]),)
        wanted = None if domains is None else set(domains)
        self._rows = sorted(row for row in rows if wanted is None or row[0] in wanted)

    @property
    def location(self) -> Path:
        """Return the table."""
        return self._table

    @property
    def reading(self) -> None:
        """Return None: a table has no folders to be read."""
        return None

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Return what is not among the images: rows that stand twice."""
        return self._left_out

    def class_folders(self) -> dict[str, set[str]]:
        """Return each domain's classes."""
        classes: dict[str, set[str]] = defaultdict(set)
        for domain, label, _ in self._rows:
            classes[domain].add(label)
        return dict(classes)

    def files(self) -> list[ImageFile]:
        """Return the image files by domain, class and path."""
        return [self._describe(*row) for row in self._rows]

    def read(self, path: str) -> bytes:
        """Return the content of a file."""
        return read_image_file(self._table.parent / path)

    def _describe(self, domain: str, label: str, path: str) -> ImageFile:
        try:
            status = (self._table.parent / path).stat()
        except (OSError, ValueError):  # unreadable, and told when it is decoded
            return ImageFile(domain, label, path, size=0, stamp=0)
        return ImageFile(domain, label, path, status.st_size, status.st_mtime_ns)


def read_columns(table: Path, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield the values of some columns of a CSV file with a heading, row by row.

    Raises:
        DataError: when it cannot be read, lacks a column, or has rows without a value.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            known = reader.fieldnames or []
            if missing := [column for column in columns if column not in known]:
                raise DataError(
                    f"{table} has no column {', '.join(missing)}; its columns are "
                    f"{', '.join(known) or 'none'}. Name them with {_options(columns)}."
                )
            incomplete = []
            for line in reader:
                values = tuple((line[column] or "").strip() for column in columns)
                if all(values) and not any("\0" in value for value in values):
                    yield values
                else:
                    incomplete.append(reader.line_num)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} cannot be read as CSV: {error}.") from None
    if incomplete:
        shown = ", ".join(map(str, incomplete[:SHOWN_ROWS]))
        named = f"{', '.join(columns[:-1])} or {columns[-1]}"
        raise DataError(
            f"{table} has {len(incomplete)} rows without {named}; the first are lines {shown}. "
            "Fill or remove them."
        )


def _options(columns: Sequence[str]) -> str:
    named = ("--path-column", "--label-column", "--domain-column")
    return " and ".join(named if len(columns) == len(named) else (named[0], named[-1]))
