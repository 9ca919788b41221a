"""Images listed in a CSV table of path, label and domain, as WILDS lays them out."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from engine.datasets.errors import DataError
from engine.datasets.sources import ImageFile

SHOWN_ROWS: Final = 5


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
        rows = _read(table, columns)
        wanted = None if domains is None else set(domains)
        self._rows = sorted(row for row in rows if wanted is None or row[0] in wanted)

    @property
    def location(self) -> Path:
        """Return the table."""
        return self._table

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
        return (self._table.parent / path).read_bytes()

    def _describe(self, domain: str, label: str, path: str) -> ImageFile:
        try:
            status = (self._table.parent / path).stat()
        except OSError:  # unreadable, and told when it is decoded
            return ImageFile(domain, label, path, size=0, stamp=0)
        return ImageFile(domain, label, path, status.st_size, status.st_mtime_ns)


def _read(table: Path, columns: tuple[str, str, str]) -> set[tuple[str, str, str]]:
    """Return (domain, label, path) of every row, each once."""
    path_column, label_column, domain_column = columns
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            known = reader.fieldnames or []
            missing = [column for column in columns if column not in known]
            if missing:
                raise DataError(
                    f"{table} has no column {', '.join(missing)}; its columns are "
                    f"{', '.join(known) or 'none'}. Name them with --path-column, "
                    "--label-column and --domain-column."
                )
            rows, incomplete = set(), []
            for line in reader:
                values = tuple((line[column] or "").strip() for column in columns)
                if all(values):
                    rows.add((line[domain_column].strip(), line[label_column].strip(), values[0]))
                else:
                    incomplete.append(reader.line_num)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} cannot be read as CSV: {error}.") from None
    if incomplete:
        shown = ", ".join(map(str, incomplete[:SHOWN_ROWS]))
        raise DataError(
            f"{table} has {len(incomplete)} rows without {path_column}, {label_column} or "
            f"{domain_column}; the first are lines {shown}. Fill or remove them."
        )
    return rows
